-- Times are seconds since 1970. Ids are their raw bytes. Rows of accounts are never deleted, so
-- that their numbers are never reused.

CREATE TABLE accounts (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    -- As typed at registration, for display.
    name          TEXT    NOT NULL,
    -- The folded form that must be unique.
    name_key      TEXT    NOT NULL UNIQUE,
    password_hash TEXT    NOT NULL,
    created       BIGINT  NOT NULL,
    disabled      BIGINT
);

CREATE TABLE devices (
    id      BLOB   NOT NULL PRIMARY KEY,
    signing BLOB   NOT NULL,
    sealing BLOB   NOT NULL,
    created BIGINT NOT NULL
);

CREATE TABLE tokens (
    -- Of the token only this hash is kept.
    hash    BLOB   NOT NULL PRIMARY KEY,
    account BIGINT NOT NULL REFERENCES accounts (id),
    device  BLOB   NOT NULL REFERENCES devices (id),
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX tokens_by_account ON tokens (account, created);

CREATE TABLE tracks (
    id       BLOB   NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL,
    -- The signed manifest, byte for byte as ingest wrote it.
    manifest BLOB   NOT NULL,
    imported BIGINT NOT NULL
);

CREATE TABLE renditions (
    content     BLOB NOT NULL PRIMARY KEY,
    track       BLOB NOT NULL REFERENCES tracks (id),
    -- The rendition's key under the vault key, which is not in this database.
    wrapped_key BLOB NOT NULL
);
CREATE INDEX renditions_by_track ON renditions (track);

CREATE TABLE licenses (
    id      BLOB   NOT NULL PRIMARY KEY,
    account BIGINT NOT NULL,
    device  BLOB   NOT NULL,
    track   BLOB   NOT NULL,
    issued  BIGINT NOT NULL
);
CREATE INDEX licenses_by_issued ON licenses (issued);
