-- What is acknowledged is never changed nor removed, whatever our own code may say. The insert
-- guards stand against REPLACE, which removes a row without asking a delete trigger.
CREATE TRIGGER versions_no_update BEFORE UPDATE ON versions
BEGIN SELECT RAISE(ABORT, 'versions is append-only'); END;
CREATE TRIGGER versions_no_delete BEFORE DELETE ON versions
BEGIN SELECT RAISE(ABORT, 'versions is append-only'); END;
CREATE TRIGGER versions_no_replace BEFORE INSERT ON versions
WHEN EXISTS (SELECT 1 FROM versions WHERE box_id = NEW.box_id AND number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'versions is append-only'); END;

CREATE TRIGGER parts_no_update BEFORE UPDATE ON parts
BEGIN SELECT RAISE(ABORT, 'parts is append-only'); END;
CREATE TRIGGER parts_no_delete BEFORE DELETE ON parts
BEGIN SELECT RAISE(ABORT, 'parts is append-only'); END;
CREATE TRIGGER parts_no_replace BEFORE INSERT ON parts
WHEN EXISTS (SELECT 1 FROM parts WHERE box_id = NEW.box_id AND number = NEW.number AND name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'parts is append-only'); END;

CREATE TRIGGER drills_no_update BEFORE UPDATE ON drills
BEGIN SELECT RAISE(ABORT, 'drills is append-only'); END;
CREATE TRIGGER drills_no_delete BEFORE DELETE ON drills
BEGIN SELECT RAISE(ABORT, 'drills is append-only'); END;
CREATE TRIGGER drills_no_replace BEFORE INSERT ON drills
WHEN EXISTS (SELECT 1 FROM drills WHERE (box_id = NEW.box_id AND number = NEW.number) OR nonce = NEW.nonce)
BEGIN SELECT RAISE(ABORT, 'drills is append-only'); END;

CREATE TRIGGER inventories_no_update BEFORE UPDATE ON inventories
BEGIN SELECT RAISE(ABORT, 'inventories is append-only'); END;
CREATE TRIGGER inventories_no_delete BEFORE DELETE ON inventories
BEGIN SELECT RAISE(ABORT, 'inventories is append-only'); END;
CREATE TRIGGER inventories_no_replace BEFORE INSERT ON inventories
WHEN EXISTS (SELECT 1 FROM inventories WHERE box_id = NEW.box_id AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'inventories is append-only'); END;

CREATE TRIGGER directives_no_update BEFORE UPDATE ON directives
BEGIN SELECT RAISE(ABORT, 'directives is append-only'); END;
CREATE TRIGGER directives_no_delete BEFORE DELETE ON directives
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
