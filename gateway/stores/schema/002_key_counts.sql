-- How many keys there are, kept by the writes themselves: counting a million rows for a gauge takes a second each time.

CREATE TABLE key_counts (
    state       TEXT NOT NULL,
    environment TEXT NOT NULL,
    count       INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (state, environment)
) STRICT, WITHOUT ROWID;

INSERT INTO key_counts (state, environment, count)
SELECT state, environment, count(*) FROM keys GROUP BY state, environment;

CREATE TRIGGER key_counted AFTER INSERT ON keys
BEGIN
    INSERT INTO key_counts (state, environment, count) VALUES (NEW.state, NEW.environment, 1)
    ON CONFLICT (state, environment) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER key_moved AFTER UPDATE OF state, environment ON keys
WHEN OLD.state <> NEW.state OR OLD.environment <> NEW.environment
BEGIN
    UPDATE key_counts SET count = count - 1 WHERE state = OLD.state AND environment = OLD.environment;
    INSERT INTO key_counts (state, environment, count) VALUES (NEW.state, NEW.environment, 1)
    ON CONFLICT (state, environment) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER key_uncounted AFTER DELETE ON keys
BEGIN
    UPDATE key_counts SET count = count - 1 WHERE state = OLD.state AND environment = OLD.environment;
END;
