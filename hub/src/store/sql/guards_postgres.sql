-- What is acknowledged is never changed nor removed, whatever our own code may say.
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'TW001';
END
$$;

CREATE TRIGGER versions_append_only BEFORE UPDATE OR DELETE ON versions FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER versions_no_truncate BEFORE TRUNCATE ON versions FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER parts_append_only BEFORE UPDATE OR DELETE ON parts FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER parts_no_truncate BEFORE TRUNCATE ON parts FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER drills_append_only BEFORE UPDATE OR DELETE ON drills FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER drills_no_truncate BEFORE TRUNCATE ON drills FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER inventories_append_only BEFORE UPDATE OR DELETE ON inventories FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER inventories_no_truncate BEFORE TRUNCATE ON inventories FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER directives_append_only BEFORE UPDATE OR DELETE ON directives FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER directives_no_truncate BEFORE TRUNCATE ON directives FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION append_only();
