-- name: insert_project
-- Keep a new project; nothing when the name is taken.
insert into project (name, is_live, settings, webhook_url, sealed_secrets, webhook_public_pem, webhook_public_ed25519,
    created_at)
values ($1, $2, $3::jsonb, $4, $5, $6, $7, $8) on conflict do nothing returning name

-- name: insert_project_key
-- Add a public key; nothing when the project has it already and it is active.
insert into project_key (project, id, pem, added_at) values ($1, $2, $3, $4)
on conflict (project, id) do update set retired_at = null, added_at = excluded.added_at
where project_key.retired_at is not null returning id

-- name: find_project
-- A project with its active public keys, oldest first.
select p.*, array(select k from project_key k where k.project = p.name and k.retired_at is null
    order by k.added_at, k.id) as keys
from project p where p.name = $1

-- name: list_projects
-- Every project with its active public keys.
select p.*, array(select k from project_key k where k.project = p.name and k.retired_at is null
    order by k.added_at, k.id) as keys
from project p order by p.name

-- name: update_project
-- Change a project's settings and address.
update project set settings = $2::jsonb, webhook_url = $3, is_disabled = $4 where name = $1 returning name

-- name: retire_project_key
-- End a public key.
update project_key set retired_at = $3 where project = $1 and id = $2 and retired_at is null returning id

-- name: replace_project_secrets
-- Put a project's secrets, sealed anew, in place of those that were read.
update project set sealed_secrets = $3 where name = $1 and sealed_secrets = $2 returning name
