-- What is acknowledged is never changed nor removed, whatever our own code may say.
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'TW001';
END
$$;
CREATE FUNCTION let_go_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM boxes WHERE box_id = OLD.box_id AND let_go_at IS NOT NULL) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'TW001';
END
$$;

-- The history of a box may go once it was retired and the days that were stated then are over: as the hub has counted
-- them, and by the clock. Nobody shortens them, and what has gone does not come back.
CREATE FUNCTION keeps_its_days() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.let_go_at IS NOT NULL THEN
            RAISE EXCEPTION 'a box begins with nothing let go' USING ERRCODE = 'TW001';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.let_go_at IS NOT NULL AND (NEW.let_go_at IS NULL OR NEW.retired_at IS NULL) THEN
        RAISE EXCEPTION 'what has gone does not come back' USING ERRCODE = 'TW001';
    END IF;
    IF OLD.retired_at IS NOT NULL AND NEW.retired_at IS NOT NULL AND (NEW.retired_at <> OLD.retired_at
        OR COALESCE(NEW.keep_days, 0) <> OLD.keep_days
        OR COALESCE(NEW.retired_position, -1) <> OLD.retired_position) THEN
        RAISE EXCEPTION 'the days that were stated stand' USING ERRCODE = 'TW001';
    END IF;
    IF NEW.let_go_at IS NOT NULL AND OLD.let_go_at IS NULL AND NOT COALESCE(
        NEW.retired_at = OLD.retired_at AND OLD.keep_days >= 30
        AND (SELECT MAX(position) FROM days) - OLD.retired_position >= OLD.keep_days
        AND NEW.let_go_at - OLD.retired_at >= OLD.keep_days * 86400, FALSE) THEN
        RAISE EXCEPTION 'the history of a box is kept for the days that were stated' USING ERRCODE = 'TW001';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER boxes_keep_their_days BEFORE INSERT OR UPDATE ON boxes FOR EACH ROW EXECUTE FUNCTION keeps_its_days();

CREATE TRIGGER versions_append_only BEFORE UPDATE ON versions FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER versions_let_go BEFORE DELETE ON versions FOR EACH ROW EXECUTE FUNCTION let_go_only();
CREATE TRIGGER versions_no_truncate BEFORE TRUNCATE ON versions FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER parts_append_only BEFORE UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER parts_let_go BEFORE DELETE ON parts FOR EACH ROW EXECUTE FUNCTION let_go_only();
CREATE TRIGGER parts_no_truncate BEFORE TRUNCATE ON parts FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER drills_append_only BEFORE UPDATE ON drills FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER drills_let_go BEFORE DELETE ON drills FOR EACH ROW EXECUTE FUNCTION let_go_only();
CREATE TRIGGER drills_no_truncate BEFORE TRUNCATE ON drills FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER inventories_append_only BEFORE UPDATE ON inventories FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER inventories_let_go BEFORE DELETE ON inventories FOR EACH ROW EXECUTE FUNCTION let_go_only();
CREATE TRIGGER inventories_no_truncate BEFORE TRUNCATE ON inventories FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER directives_append_only BEFORE UPDATE ON directives FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER directives_let_go BEFORE DELETE ON directives FOR EACH ROW EXECUTE FUNCTION let_go_only();
CREATE TRIGGER directives_no_truncate BEFORE TRUNCATE ON directives FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER orders_append_only BEFORE UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER orders_no_truncate BEFORE TRUNCATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER answers_append_only BEFORE UPDATE OR DELETE ON answers FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER answers_no_truncate BEFORE TRUNCATE ON answers FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER outcomes_append_only BEFORE UPDATE OR DELETE ON outcomes FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER outcomes_no_truncate BEFORE TRUNCATE ON outcomes FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER pins_append_only BEFORE UPDATE OR DELETE ON pins FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER pins_no_truncate BEFORE TRUNCATE ON pins FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER pins_ended_append_only BEFORE UPDATE OR DELETE ON pins_ended FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER pins_ended_no_truncate BEFORE TRUNCATE ON pins_ended FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION append_only();
