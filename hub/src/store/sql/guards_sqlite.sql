-- What is acknowledged is never changed nor removed, whatever our own code may say. The insert
-- guards stand against REPLACE, which removes a row without asking a delete trigger.
CREATE TRIGGER versions_no_update BEFORE UPDATE ON versions
BEGIN SELECT RAISE(ABORT, 'versions is append-only'); END;
CREATE TRIGGER versions_no_delete BEFORE DELETE ON versions
WHEN NOT EXISTS (SELECT 1 FROM boxes WHERE box_id = OLD.box_id AND let_go_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'versions is append-only'); END;
CREATE TRIGGER versions_no_replace BEFORE INSERT ON versions
WHEN EXISTS (SELECT 1 FROM versions WHERE box_id = NEW.box_id AND number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'versions is append-only'); END;

CREATE TRIGGER parts_no_update BEFORE UPDATE ON parts
BEGIN SELECT RAISE(ABORT, 'parts is append-only'); END;
CREATE TRIGGER parts_no_delete BEFORE DELETE ON parts
WHEN NOT EXISTS (SELECT 1 FROM boxes WHERE box_id = OLD.box_id AND let_go_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'parts is append-only'); END;
CREATE TRIGGER parts_no_replace BEFORE INSERT ON parts
WHEN EXISTS (SELECT 1 FROM parts WHERE box_id = NEW.box_id AND number = NEW.number AND name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'parts is append-only'); END;

CREATE TRIGGER drills_no_update BEFORE UPDATE ON drills
BEGIN SELECT RAISE(ABORT, 'drills is append-only'); END;
CREATE TRIGGER drills_no_delete BEFORE DELETE ON drills
WHEN NOT EXISTS (SELECT 1 FROM boxes WHERE box_id = OLD.box_id AND let_go_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'drills is append-only'); END;
CREATE TRIGGER drills_no_replace BEFORE INSERT ON drills
WHEN EXISTS (SELECT 1 FROM drills WHERE (box_id = NEW.box_id AND number = NEW.number) OR nonce = NEW.nonce)
BEGIN SELECT RAISE(ABORT, 'drills is append-only'); END;

CREATE TRIGGER inventories_no_update BEFORE UPDATE ON inventories
BEGIN SELECT RAISE(ABORT, 'inventories is append-only'); END;
CREATE TRIGGER inventories_no_delete BEFORE DELETE ON inventories
WHEN NOT EXISTS (SELECT 1 FROM boxes WHERE box_id = OLD.box_id AND let_go_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'inventories is append-only'); END;
CREATE TRIGGER inventories_no_replace BEFORE INSERT ON inventories
WHEN EXISTS (SELECT 1 FROM inventories WHERE box_id = NEW.box_id AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'inventories is append-only'); END;

CREATE TRIGGER directives_no_update BEFORE UPDATE ON directives
BEGIN SELECT RAISE(ABORT, 'directives is append-only'); END;
CREATE TRIGGER directives_no_delete BEFORE DELETE ON directives
WHEN NOT EXISTS (SELECT 1 FROM boxes WHERE box_id = OLD.box_id AND let_go_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'directives is append-only'); END;
CREATE TRIGGER directives_no_replace BEFORE INSERT ON directives
WHEN EXISTS (SELECT 1 FROM directives WHERE box_id = NEW.box_id AND number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'directives is append-only'); END;

CREATE TRIGGER orders_no_update BEFORE UPDATE ON orders
BEGIN SELECT RAISE(ABORT, 'orders is append-only'); END;
CREATE TRIGGER orders_no_delete BEFORE DELETE ON orders
BEGIN SELECT RAISE(ABORT, 'orders is append-only'); END;
CREATE TRIGGER orders_no_replace BEFORE INSERT ON orders
WHEN EXISTS (SELECT 1 FROM orders WHERE (box_id = NEW.box_id AND sha256 = NEW.sha256) OR position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'orders is append-only'); END;

CREATE TRIGGER answers_no_update BEFORE UPDATE ON answers
BEGIN SELECT RAISE(ABORT, 'answers is append-only'); END;
CREATE TRIGGER answers_no_delete BEFORE DELETE ON answers
BEGIN SELECT RAISE(ABORT, 'answers is append-only'); END;
CREATE TRIGGER answers_no_replace BEFORE INSERT ON answers
WHEN EXISTS (SELECT 1 FROM answers WHERE box_id = NEW.box_id AND number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'answers is append-only'); END;

CREATE TRIGGER outcomes_no_update BEFORE UPDATE ON outcomes
BEGIN SELECT RAISE(ABORT, 'outcomes is append-only'); END;
CREATE TRIGGER outcomes_no_delete BEFORE DELETE ON outcomes
BEGIN SELECT RAISE(ABORT, 'outcomes is append-only'); END;
CREATE TRIGGER outcomes_no_replace BEFORE INSERT ON outcomes
WHEN EXISTS (SELECT 1 FROM outcomes WHERE box_id = NEW.box_id AND sha256 = NEW.sha256 AND number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'outcomes is append-only'); END;

CREATE TRIGGER pins_no_update BEFORE UPDATE ON pins
BEGIN SELECT RAISE(ABORT, 'pins is append-only'); END;
CREATE TRIGGER pins_no_delete BEFORE DELETE ON pins
BEGIN SELECT RAISE(ABORT, 'pins is append-only'); END;
CREATE TRIGGER pins_no_replace BEFORE INSERT ON pins
WHEN EXISTS (SELECT 1 FROM pins WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'pins is append-only'); END;

CREATE TRIGGER pins_ended_no_update BEFORE UPDATE ON pins_ended
BEGIN SELECT RAISE(ABORT, 'pins_ended is append-only'); END;
CREATE TRIGGER pins_ended_no_delete BEFORE DELETE ON pins_ended
BEGIN SELECT RAISE(ABORT, 'pins_ended is append-only'); END;
CREATE TRIGGER pins_ended_no_replace BEFORE INSERT ON pins_ended
WHEN EXISTS (SELECT 1 FROM pins_ended WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'pins_ended is append-only'); END;

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq OR previous = NEW.previous)
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

-- The history of a box may go once it was retired and the days that were stated then are over: as the hub has counted
-- them, and by the clock. Nobody shortens them, and what has gone does not come back.
CREATE TRIGGER boxes_let_go BEFORE UPDATE ON boxes
WHEN NEW.let_go_at IS NOT NULL AND OLD.let_go_at IS NULL AND NOT COALESCE(
    NEW.retired_at = OLD.retired_at AND OLD.keep_days >= 30
    AND (SELECT MAX(position) FROM days) - OLD.retired_position >= OLD.keep_days
    AND NEW.let_go_at - OLD.retired_at >= OLD.keep_days * 86400, FALSE)
BEGIN SELECT RAISE(ABORT, 'the history of a box is kept for the days that were stated'); END;
CREATE TRIGGER boxes_retired BEFORE UPDATE ON boxes
WHEN OLD.retired_at IS NOT NULL AND NEW.retired_at IS NOT NULL AND (NEW.retired_at <> OLD.retired_at
    OR COALESCE(NEW.keep_days, 0) <> OLD.keep_days OR COALESCE(NEW.retired_position, -1) <> OLD.retired_position)
BEGIN SELECT RAISE(ABORT, 'the days that were stated stand'); END;
CREATE TRIGGER boxes_gone BEFORE UPDATE ON boxes
WHEN OLD.let_go_at IS NOT NULL AND (NEW.let_go_at IS NULL OR NEW.retired_at IS NULL)
BEGIN SELECT RAISE(ABORT, 'what has gone does not come back'); END;
CREATE TRIGGER boxes_new BEFORE INSERT ON boxes
WHEN NEW.let_go_at IS NOT NULL OR EXISTS (SELECT 1 FROM boxes WHERE box_id = NEW.box_id OR name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'a box begins with nothing let go'); END;
