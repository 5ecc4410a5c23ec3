-- A store of version 1, as that version made it: recorded once, never changed.
PRAGMA application_id = 1667722349;
CREATE TABLE thread (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    settings TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX thread_name ON thread (name, updated);
CREATE INDEX thread_updated ON thread (updated);
CREATE TABLE said (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    thread INTEGER REFERENCES thread (number) ON DELETE CASCADE,
    parent TEXT NOT NULL DEFAULT '',
    place INTEGER NOT NULL DEFAULT 0,
    role TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT '',
    thought TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL,
    cell TEXT NOT NULL DEFAULT '',
    finish_reason TEXT,
    model TEXT NOT NULL DEFAULT '',
    provider TEXT NOT NULL DEFAULT '',
    rest TEXT NOT NULL DEFAULT '{}',
    owner TEXT NOT NULL DEFAULT '',
    beat REAL NOT NULL DEFAULT 0
);
CREATE INDEX said_thread ON said (thread, number);
CREATE INDEX said_cell ON said (cell) WHERE cell != '';
CREATE INDEX said_open ON said (number) WHERE owner != '';
CREATE TABLE piece (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    said INTEGER NOT NULL REFERENCES said (number) ON DELETE CASCADE,
    text TEXT NOT NULL,
    thought TEXT NOT NULL
);
CREATE INDEX piece_said ON piece (said, number);
CREATE TABLE chosen (
    thread INTEGER NOT NULL REFERENCES thread (number) ON DELETE CASCADE,
    parent TEXT NOT NULL,
    child TEXT NOT NULL,
    PRIMARY KEY (thread, parent)
) WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO thread (number, id, name, created, updated, settings) VALUES
    (3, 'thread-a', 'paper', 100.0, 200.0, '{"system": "Be terse.", "provider": "zai", "options": {"seed": 1}}'),
    (4, 'thread-b', 'other', 150.0, 160.0, '{}');
INSERT INTO said (number, id, thread, parent, place, role, text, thought, created, cell, finish_reason, model, provider, rest, owner, beat) VALUES
    (1, 'q1', 3, '', 0, 'user', 'What is attention?', '', 100.0, 'id 1 1', NULL, '', '', '{}', '', 0),
    (2, 'a1', 3, 'q1', 0, 'assistant', '注意力机制。', 'hm', 101.0, '', 'stop', 'glm-4.7', 'zai', '{"elapsed": 1.5, "usage": {"prompt_tokens": 3, "raw": {}}}', '', 0),
    (3, 'a2', 3, 'q1', 1, 'assistant', 'It weighs.', '', 102.0, '', 'stop', 'glm-4.7', 'zai', '{}', '', 0),
    (4, 'q2', 4, '', 0, 'user', 'Unfinished?', '', 150.0, '', NULL, '', '', '{}', '', 0),
    (5, 'a3', 4, 'q2', 0, 'assistant', 'So ', '', 151.0, '', NULL, 'glm-4.7', 'zai', '{}', 'gone 1 1', 151.0);
INSERT INTO piece (said, text, thought) VALUES (5, 'far ', ''), (5, 'so good', 'well');
INSERT INTO chosen VALUES (3, '', 'q1'), (3, 'q1', 'a1'), (4, '', 'q2'), (4, 'q2', 'a3');
