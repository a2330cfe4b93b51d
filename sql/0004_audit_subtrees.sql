-- Smaller blocks make proofs quicker: instead of the hashes of 256-, 65536-, ... leaf subtrees (`node`) those of
-- 16-, 256-, 4096-, ... leaf subtrees are kept. They are only a cache; the next checkpoint fills it.

DROP TABLE audit.node;

CREATE TABLE audit.subtree (
    level  smallint NOT NULL CHECK (level >= 1),  -- one of level l covers 16^l leaves
    idx    bigint NOT NULL CHECK (idx >= 0),
    hash   bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, idx)
);
GRANT SELECT, INSERT ON audit.subtree TO memorial_sequencer;
GRANT SELECT ON audit.subtree TO memorial_auditor;
CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON audit.subtree
    FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON audit.subtree
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.subtree ENABLE ALWAYS TRIGGER keep_rows;
ALTER TABLE audit.subtree ENABLE ALWAYS TRIGGER keep_table;
