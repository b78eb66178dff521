-- The audit log is read by its time: the daily report, and what is exported or retired.
--
-- Why it looks like this: entries lie on the disk about in the order of their time, and millions come in a month. An
-- index of ranges of blocks costs a writer next to nothing.

CREATE INDEX audit_entry_time ON vault.audit_entry USING brin (at);
