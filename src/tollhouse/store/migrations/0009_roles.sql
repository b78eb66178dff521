-- Nobody reaches the vault, or makes things in the gateway's schema, because everybody may.
--
-- Why: roles of gateway and vault are given rights one by one (`tollhouse db roles`), which means nothing where PUBLIC
-- was given more before: by an operator, or by a server from before Postgres 15, where everybody may create in public.

REVOKE ALL ON SCHEMA vault FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA vault FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vault FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
