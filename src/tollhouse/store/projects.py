"""Projects in Postgres: settings, public keys, sealed secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import asyncpg
import msgspec

from tollhouse.merchant import Project, PublicKey, Settings
from tollhouse.store.queries import QUERIES


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProject:
    """A project with what its row holds besides."""

    project: Project
    sealed_secrets: bytes = field(repr=False)
    webhook_public_pem: str
    webhook_public_ed25519: str
    created_at: datetime


class ProjectExists(Exception):
    """There is a project of this name already."""


async def insert_project(pool: asyncpg.Pool, known: KnownProject) -> None:
    """Keep a new project with its keys, all or nothing. Raises `ProjectExists`."""
    project = known.project
    async with pool.acquire() as connection, connection.transaction():
        name = await connection.fetchval(
            QUERIES["insert_project"],
            project.name,
            project.is_live,
            msgspec.json.encode(project.settings).decode(),
            project.webhook_url,
            known.sealed_secrets,
            known.webhook_public_pem,
            known.webhook_public_ed25519,
            known.created_at,
        )
        if name is None:
            raise ProjectExists(project.name)
        for key in project.public_keys:
            await connection.execute(QUERIES["insert_project_key"], project.name, key.id, key.pem, known.created_at)


async def find_project(pool: asyncpg.Pool, name: str) -> KnownProject | None:
    """The project of this name, if there is one."""
    row = await pool.fetchrow(QUERIES["find_project"], name)
    return None if row is None else _known(row)


async def list_projects(pool: asyncpg.Pool) -> list[KnownProject]:
    """Every project, by name."""
    return [_known(row) for row in await pool.fetch(QUERIES["list_projects"])]


async def update_project(pool: asyncpg.Pool, project: Project) -> bool:
    """Write a project's settings, address and whether it is disabled; False when it does not exist."""
    settings = msgspec.json.encode(project.settings).decode()
    found = await pool.fetchval(
        QUERIES["update_project"], project.name, settings, project.webhook_url, project.is_disabled
    )
    return found is not None


async def replace_secrets(pool: asyncpg.Pool, name: str, old: bytes, new: bytes) -> bool:
    """Put sealed secrets in place of those that were read; False when they are others by now."""
    return await pool.fetchval(QUERIES["replace_project_secrets"], name, old, new) is not None


async def add_key(pool: asyncpg.Pool, project: str, key: PublicKey, now: datetime) -> bool:
    """Add a public key; False when it is active already."""
    return await pool.fetchval(QUERIES["insert_project_key"], project, key.id, key.pem, now) is not None


async def retire_key(pool: asyncpg.Pool, project: str, key_id: str, now: datetime) -> bool:
    """End a public key; False when there is no active one of this id."""
    return await pool.fetchval(QUERIES["retire_project_key"], project, key_id, now) is not None


def _known(row: asyncpg.Record) -> KnownProject:
    project = Project(
        name=row["name"],
        is_live=row["is_live"],
        is_disabled=row["is_disabled"],
        settings=msgspec.json.decode(row["settings"], type=Settings),
        public_keys=tuple(PublicKey(id=key["id"], pem=key["pem"]) for key in row["keys"]),
        webhook_url=row["webhook_url"],
    )
    return KnownProject(
        project=project,
        sealed_secrets=row["sealed_secrets"],
        webhook_public_pem=row["webhook_public_pem"],
        webhook_public_ed25519=row["webhook_public_ed25519"],
        created_at=row["created_at"],
    )
