-- A journal as schema version 7 writes it: as version 6, with records in `results` that programs of version 6
-- do not read (here as there some bytes).
-- version7.db is made of it:
--   rm -f version7.db && sqlite3 version7.db < version7.sql
PRAGMA application_id = 1297237834;
PRAGMA user_version = 7;
CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL);
CREATE TABLE jobs (
  uid TEXT NOT NULL PRIMARY KEY,
  sequence INTEGER NOT NULL UNIQUE,
  request_id TEXT UNIQUE,
  state TEXT NOT NULL,
  cancelling INTEGER NOT NULL,
  recipe TEXT NOT NULL,
  source_name TEXT NOT NULL,
  directories BLOB NOT NULL,
  output_uri TEXT NOT NULL,
  overwrite INTEGER NOT NULL,
  plan_digest TEXT NOT NULL,
  numerics_version INTEGER NOT NULL,
  inputs BLOB NOT NULL,
  error_code INTEGER NOT NULL,
  error_message TEXT NOT NULL,
  error_reason TEXT NOT NULL,
  created INTEGER,
  started INTEGER,
  finished INTEGER,
  report_summary TEXT NOT NULL,
  warnings BLOB NOT NULL
);
CREATE TABLE results (
  job TEXT NOT NULL REFERENCES jobs (uid) ON DELETE CASCADE,
  round INTEGER NOT NULL,
  unit INTEGER NOT NULL,
  worker TEXT NOT NULL,
  threads INTEGER NOT NULL,
  simd TEXT NOT NULL,
  result BLOB NOT NULL,
  PRIMARY KEY (job, round, unit)
);
CREATE TABLE events (
  number INTEGER PRIMARY KEY,
  job TEXT NOT NULL REFERENCES jobs (uid) ON DELETE CASCADE,
  time INTEGER NOT NULL,
  text TEXT NOT NULL,
  round INTEGER,
  unit INTEGER,
  worker TEXT,
  reported INTEGER
);
CREATE INDEX events_of_job ON events (job, number);
ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE epoch ADD COLUMN served INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN ended_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN units_total INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN units_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN bytes_total INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN bytes_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
CREATE TABLE requests (
  request_id TEXT NOT NULL PRIMARY KEY,
  job TEXT NOT NULL,
  owner TEXT NOT NULL,
  state TEXT NOT NULL,
  ended_after INTEGER NOT NULL
);
ALTER TABLE jobs ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN labels BLOB NOT NULL DEFAULT x'';
ALTER TABLE jobs ADD COLUMN method TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN models BLOB NOT NULL DEFAULT x'';
ALTER TABLE jobs ADD COLUMN asked_priority INTEGER;
ALTER TABLE jobs ADD COLUMN verdict TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN bytes_read INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN bytes_written INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN activity BLOB NOT NULL DEFAULT x'';
INSERT INTO epoch VALUES (1, 4000000000, 7200000000000);
INSERT INTO jobs VALUES
  ('a1', 1, 'id-1', 'RUNNING', 0, 'merge_method: linear', 'r.yaml', CAST('4:/cwd' AS BLOB), '/out',
   1, 'digest', 1, CAST('9:/models/a2:d1' AS BLOB), 0, '', '', 1700000000000000001,
   1700000001000000000, NULL, '', CAST('' AS BLOB), 7, 'alice', 0, 0, 0, 0, 0, 0, 'math',
   CAST('4:team2:rl' AS BLOB), 'linear', CAST('4:base6:expert' AS BLOB), 3, '', 0, 0, x''),
  ('b2', 2, NULL, 'SUCCEEDED', 0, 'merge_method: linear', 'r.yaml',
   CAST('4:/cwd8:/recipes' AS BLOB), '/out2', 0, 'digest', 1, CAST('' AS BLOB), 0, '', '',
   1700000002000000000, 1700000003000000000, 1700000004000000000, 'a summary',
   CAST('2:w1' AS BLOB), 0, 'bob', 3600000000000, 4, 4, 400, 400, 1, '', CAST('' AS BLOB), 'linear',
   CAST('' AS BLOB), NULL, 'a verdict', 1200, 400, x'');
INSERT INTO results VALUES ('a1', 0, 3, 'w', 2, 'AVX2', x'00ff4142');
INSERT INTO events VALUES (1, 'a1', 1700000001000000000, 'planned', NULL, NULL, NULL, NULL);
INSERT INTO requests VALUES ('id-0', 'z0', 'carol', 'SUCCEEDED', 1800000000000);
