-- One text for SQLite and PostgreSQL: columns are TEXT, BIGINT and blob (a domain over bytea there).
-- Times are seconds since 1970 (UTC) by the hub's clock; ids, hashes and JSON are TEXT; truth is 0 or 1.

CREATE TABLE hub (
    hub_id TEXT NOT NULL PRIMARY KEY,
    format BIGINT NOT NULL,
    made_at BIGINT NOT NULL
);

CREATE TABLE operators (
    name TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    made_at BIGINT NOT NULL,
    ended_at BIGINT
);

CREATE TABLE boxes (
    box_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    added_at BIGINT NOT NULL,
    enrolled_at BIGINT,
    heard_at BIGINT,
    customer TEXT,
    keeper TEXT,
    retired_at BIGINT,
    retired_because TEXT,
    keep_days BIGINT,
    -- The last of the days on which the hub had been up by then; those that are kept are counted from it.
    retired_position BIGINT,
    let_go_at BIGINT
);

CREATE TABLE nodes (
    node_id TEXT NOT NULL PRIMARY KEY,
    box_id TEXT NOT NULL REFERENCES boxes (box_id),
    hostname TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    heard_at BIGINT
);
CREATE INDEX nodes_by_box ON nodes (box_id);

-- kind 'box' speaks for the box; 'recovery' may read, and prove: then one of kind 'box' takes its place.
-- position is the order in which they were given: the first use of one of kind 'box' revokes those that its
-- node was given before.
CREATE TABLE certificates (
    serial TEXT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL UNIQUE,
    box_id TEXT NOT NULL REFERENCES boxes (box_id),
    node_id TEXT NOT NULL REFERENCES nodes (node_id),
    kind TEXT NOT NULL CHECK (kind IN ('box', 'recovery')),
    spki_sha256 TEXT NOT NULL,
    der blob NOT NULL,
    made_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    revoked_at BIGINT,
    revoked_because TEXT
);
CREATE INDEX certificates_by_box ON certificates (box_id);
CREATE INDEX certificates_by_node ON certificates (node_id, position);

-- A ticket is known by its keyed hash alone. serial is the certificate that it gave, to the key
-- that it is bound to from then on; once the words are proven, the box's for the same key. The columns after ended_at are those of a recovery window;
-- hostname and asked_by are of a ticket that a node of the box has asked for: it is good for that machine alone.
CREATE TABLE tickets (
    ticket_hash TEXT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL UNIQUE,
    purpose TEXT NOT NULL CHECK (purpose IN ('enroll', 'recover')),
    box_id TEXT NOT NULL REFERENCES boxes (box_id),
    made_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    serial TEXT REFERENCES certificates (serial),
    ended_at BIGINT,
    reason TEXT NOT NULL,
    rehearsal BIGINT NOT NULL,
    stolen BIGINT NOT NULL,
    lost_at BIGINT,
    proven_at BIGINT,
    hostname TEXT,
    asked_by TEXT REFERENCES nodes (node_id)
);
CREATE INDEX tickets_by_box ON tickets (box_id, position);

CREATE TABLE nonces (
    nonce TEXT NOT NULL PRIMARY KEY,
    serial TEXT NOT NULL REFERENCES certificates (serial),
    made_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX nonces_by_serial ON nonces (serial);

-- Append-only. header is the text that the box wrote, header_sha256 is over it.
CREATE TABLE versions (
    box_id TEXT NOT NULL REFERENCES boxes (box_id),
    number BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('ceremony', 'update')),
    received_at BIGINT NOT NULL,
    header TEXT NOT NULL,
    header_sha256 TEXT NOT NULL,
    PRIMARY KEY (box_id, number)
);
CREATE INDEX versions_by_time ON versions (box_id, kind, received_at);

-- Append-only. seal 0: the body is what the box sent. Other numbers are for sealing at rest: the
-- body is then sealed under the version's data key, whose wrapped forms get a table of their own.
CREATE TABLE parts (
    box_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    name TEXT NOT NULL,
    size BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    seal BIGINT NOT NULL,
    body blob NOT NULL,
    PRIMARY KEY (box_id, number, name),
    FOREIGN KEY (box_id, number) REFERENCES versions (box_id, number)
);

-- Nonces that no drill has used yet, the newest few of each certificate: what is used or too old goes.
-- A table of its own, so that no query of a recovery can find one of these, and the reverse.
CREATE TABLE drill_nonces (
    serial TEXT NOT NULL REFERENCES certificates (serial),
    position BIGINT NOT NULL,
    nonce TEXT NOT NULL UNIQUE,
    PRIMARY KEY (serial, position)
);

-- Append-only. request is the text that the box sent, with the proof, so that anybody can check it
-- again; nonce is the proof's.
CREATE TABLE drills (
    box_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('words', 'archive')),
    version BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    serial TEXT NOT NULL REFERENCES certificates (serial),
    nonce TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL,
    PRIMARY KEY (box_id, number),
    FOREIGN KEY (box_id, version) REFERENCES versions (box_id, number)
);
CREATE INDEX drills_by_kind ON drills (box_id, kind, number);
CREATE INDEX drills_by_time ON drills (box_id, recorded_at);

-- Append-only, one for a version. body is what the box said it had, names, ids, fingerprints, times and
-- sizes, as JSON; sha256 is over it.
CREATE TABLE inventories (
    box_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (box_id, version),
    FOREIGN KEY (box_id, version) REFERENCES versions (box_id, number)
);

-- Append-only, numbered by box; the one with the highest number stands. made_by is the operator's name,
-- NULL if the hub made it by itself; version is the one whose inventory it was made from. sha256 is over
-- body.
CREATE TABLE directives (
    box_id TEXT NOT NULL REFERENCES boxes (box_id),
    number BIGINT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('automatic', 'operator')),
    made_at BIGINT NOT NULL,
    made_by TEXT,
    version BIGINT,
    items BIGINT NOT NULL,
    left_out BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (box_id, number),
    FOREIGN KEY (box_id, version) REFERENCES inventories (box_id, version)
);

-- Append-only. body is an order's text as the box sent it, which nobody here reads; sha256 is over it.
-- position is the order in which they came, over all boxes.
CREATE TABLE orders (
    box_id TEXT NOT NULL REFERENCES boxes (box_id),
    sha256 TEXT NOT NULL,
    position BIGINT NOT NULL UNIQUE,
    node_id TEXT NOT NULL REFERENCES nodes (node_id),
    serial TEXT NOT NULL REFERENCES certificates (serial),
    asked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    body blob NOT NULL,
    PRIMARY KEY (box_id, sha256)
);
CREATE INDEX orders_by_time ON orders (node_id, asked_at);
CREATE INDEX orders_by_end ON orders (expires_at);

-- Append-only, numbered by box. body is what an operator sent (UTF-8), good or not.
CREATE TABLE answers (
    box_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    answered_at BIGINT NOT NULL,
    answered_by TEXT NOT NULL,
    body blob NOT NULL,
    PRIMARY KEY (box_id, number),
    FOREIGN KEY (box_id, sha256) REFERENCES orders (box_id, sha256)
);
CREATE INDEX answers_by_order ON answers (box_id, sha256);

-- Append-only, numbered by order. said is in the box's words (UTF-8), or in the hub's where it ends what a
-- machine asked that is the box no more; answers is how many there were to the order then.
CREATE TABLE outcomes (
    box_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    number BIGINT NOT NULL,
    told_at BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('refused', 'used', 'done', 'failed', 'withdrawn')),
    answers BIGINT NOT NULL,
    said blob NOT NULL,
    PRIMARY KEY (box_id, sha256, number),
    FOREIGN KEY (box_id, sha256) REFERENCES orders (box_id, sha256)
);

-- Append-only, for every box. body is the signed statement as JSON, sha256 is over it. One that was ended
-- may come again, with another number.
CREATE TABLE pins (
    number BIGINT NOT NULL PRIMARY KEY,
    sha256 TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    added_by TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX pins_by_sha256 ON pins (sha256);
CREATE INDEX pins_by_time ON pins (added_at);

-- Append-only: statements that are listed no more.
CREATE TABLE pins_ended (
    number BIGINT NOT NULL PRIMARY KEY REFERENCES pins (number),
    ended_at BIGINT NOT NULL,
    ended_by TEXT NOT NULL
);

-- The newest report of each node, in the former one's place; machine is JSON. former_boots are the starts of the
-- machine before this one, with a blank between them; clone_at is when another machine was seen to speak as this node.
CREATE TABLE reports (
    node_id TEXT NOT NULL PRIMARY KEY REFERENCES nodes (node_id),
    box_id TEXT NOT NULL REFERENCES boxes (box_id),
    received_at BIGINT NOT NULL,
    boot_id TEXT NOT NULL,
    former_boots TEXT NOT NULL,
    uptime BIGINT NOT NULL,
    clone_at BIGINT,
    machine TEXT NOT NULL
);
CREATE INDEX reports_by_box ON reports (box_id);

-- What the newest report of a node says is wrong, as JSON; none if nothing is.
CREATE TABLE alarms (
    node_id TEXT NOT NULL PRIMARY KEY REFERENCES nodes (node_id),
    box_id TEXT NOT NULL REFERENCES boxes (box_id),
    body TEXT NOT NULL
);
CREATE INDEX alarms_by_box ON alarms (box_id);

-- What the keeper of a box saw last, as JSON.
CREATE TABLE observations (
    box_id TEXT NOT NULL PRIMARY KEY REFERENCES boxes (box_id),
    node_id TEXT NOT NULL REFERENCES nodes (node_id),
    received_at BIGINT NOT NULL,
    body TEXT NOT NULL
);

-- Days (since 1970) on which the hub was up, in the order in which it saw them.
CREATE TABLE days (
    day BIGINT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL UNIQUE
);

-- How a box stood, one row for each change, numbered by box. day_position is of the day on which it was written.
CREATE TABLE standings (
    box_id TEXT NOT NULL REFERENCES boxes (box_id),
    number BIGINT NOT NULL,
    since BIGINT NOT NULL,
    day_position BIGINT NOT NULL,
    state TEXT NOT NULL,
    reasons TEXT NOT NULL,
    PRIMARY KEY (box_id, number)
);
CREATE INDEX standings_by_day ON standings (day_position);

-- Append-only, and a chain: hash is over the row's canonical text, previous included.
CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    time BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    box_id TEXT,
    detail TEXT NOT NULL,
    previous TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL
);
-- What is said of a box by it.
CREATE INDEX audit_of_refusals ON audit (time, box_id, action)
    WHERE action IN ('request.trespassed', 'request.revoked');
CREATE INDEX audit_of_refusals_by_box ON audit (box_id, action, time)
    WHERE action IN ('request.trespassed', 'request.revoked');
