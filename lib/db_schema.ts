/**
 * The schema of the server's database as a list of migrations: `PRAGMA user_version` counts how many have run. A
 * migration that was released is never changed; a new one is appended.
 *
 * Everything of protocol version 4 in it is an index: over the packs below `packs/` and the journals below `journal/`.
 * `server rebuild` makes it again from these. Only open invites and the order of collection would be lost.
 */

export const MIGRATIONS: readonly string[] = [
  `
  -- Clients of protocol version 3. Names of tables and columns are those of its course.
  CREATE TABLE clients (
    ID        BLOB PRIMARY KEY,          -- 16 bytes, drawn by the server
    Name      TEXT NOT NULL UNIQUE,      -- at most 254 bytes of UTF-8, compared byte by byte
    PublicKey BLOB,                      -- SubjectPublicKeyInfo, 160 bytes; NULL until it was sent
    LastSeen  TEXT NOT NULL,             -- ISO 8601, UTC: last registration, key exchange or file
    AESKey    BLOB,                      -- 16 bytes, of the newest key exchange
    KeyAddress TEXT                      -- where that came from; no other address may use the key
  ) STRICT, WITHOUT ROWID;

  -- Files of clients whose checksum the client has confirmed. What is not confirmed has no row.
  CREATE TABLE files (
    ID        BLOB NOT NULL REFERENCES clients (ID),
    FileName  TEXT NOT NULL,             -- base name as the client gave it
    PathName  TEXT NOT NULL,             -- where it is, below the data folder, with '/'
    Verified  INTEGER NOT NULL,          -- 1: confirmed and there; 0: confirmed once, now missing
    Size      INTEGER NOT NULL,          -- bytes
    Checksum  INTEGER NOT NULL,          -- POSIX cksum
    StoredAt  TEXT NOT NULL,             -- ISO 8601, UTC
    PRIMARY KEY (ID, FileName)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Vaults of protocol version 4. A vault is there when its found event is in its journal.
  CREATE TABLE vaults (
    number     INTEGER PRIMARY KEY,      -- stands for the vault in the tables below
    id         BLOB NOT NULL UNIQUE,     -- 32 bytes, the hash of its found event's body
    locator    BLOB NOT NULL UNIQUE,     -- 16 bytes, id of its recovery code: finds it at recovery.
                                         -- UNIQUE, or another vault could stand in its way
    epoch      INTEGER NOT NULL,         -- epoch of collection: grows when records are condemned
    generation INTEGER NOT NULL,         -- grows when a record of it is found damaged or gone:
                                         -- see records.complete
    checkpoint BLOB                      -- what the journal adds up to up to some event, so that
                                         -- opening need not replay all; NULL: from the beginning
  ) STRICT;

  -- Where each event stands in its vault's journal file. Added after the event is durable there and
  -- before it is acknowledged: an event that is here and not in the file is lost, not torn.
  CREATE TABLE events (
    vault     INTEGER NOT NULL REFERENCES vaults (number),
    number    INTEGER NOT NULL,          -- 1 for the found event
    hash      BLOB NOT NULL,             -- 32 bytes, of the event
    statement BLOB NOT NULL,             -- 32 bytes, hash of what the device sent: the same request
                                         -- again gets the same answer
    offset    INTEGER NOT NULL,          -- bytes, of the event itself in the file
    size      INTEGER NOT NULL,          -- bytes, of the event itself
    PRIMARY KEY (vault, number),
    UNIQUE (vault, statement)
  ) STRICT, WITHOUT ROWID;

  -- Files that hold records. Added in one transaction with the rows of its records, after the file
  -- is durable under its name.
  CREATE TABLE packs (
    number INTEGER PRIMARY KEY,
    vault  INTEGER NOT NULL REFERENCES vaults (number),
    name   TEXT NOT NULL,                -- below the vault's folder; younger names sort later
    bytes  INTEGER NOT NULL,             -- size of the whole file
    state  INTEGER NOT NULL,             -- 1: there; 0: gone, and what it held is damaged;
                                         -- 2: there, and its contents are not indexed yet
    UNIQUE (vault, name)
  ) STRICT;

  -- Records, one row for each id of a vault. Ids of different vaults never meet: each statement names
  -- the vault. The number gives collection one bit for each row.
  CREATE TABLE records (
    number    INTEGER PRIMARY KEY,
    vault     INTEGER NOT NULL REFERENCES vaults (number),
    id        BLOB NOT NULL,             -- 32 bytes, SHA-256 of the record
    type      INTEGER NOT NULL,          -- of the record: 1 data, 2 list, 3 segment, 4 index,
                                         -- 5 session, 6 root
    pack      INTEGER NOT NULL REFERENCES packs (number),
    offset    INTEGER NOT NULL,          -- bytes, of the record itself in the pack
    size      INTEGER NOT NULL,          -- bytes, of the record itself
    damaged   INTEGER NOT NULL,          -- 1: its bytes are not what they were, or gone. HAS says no;
                                         -- the next PUT of the id heals it
    complete  INTEGER NOT NULL,          -- for records with links: the vault's generation when all
                                         -- that it reaches was there and undamaged; 0: not known.
                                         -- It holds as long as the vault has that generation.
                                         -- Whoever condemns a row must set it to 0
    condemned INTEGER                    -- epoch in which nothing in force reached it; HAS says no.
                                         -- NULL: not condemned. PUT and being reached lift it
  ) STRICT;
  CREATE UNIQUE INDEX records_by_id ON records (vault, id);
  CREATE INDEX records_by_pack ON records (pack, offset);

  -- Backup runs. A record that was confirmed to a session is not deleted before the session ends.
  -- Times of use are not here: a session ends by elapsed time, which begins anew with the server.
  CREATE TABLE sessions (
    vault  INTEGER NOT NULL REFERENCES vaults (number),
    id     BLOB NOT NULL,                -- 16 bytes, drawn by the client
    device BLOB NOT NULL,                -- 16 bytes; nobody else may use it
    epoch  INTEGER NOT NULL,             -- the vault's when it was opened
    fenced INTEGER NOT NULL,             -- 1: ended by the server; its PUT and COMMIT are refused
    opened INTEGER NOT NULL,             -- ms since 1970, for people and for forgetting old rows
    PRIMARY KEY (vault, id)
  ) STRICT, WITHOUT ROWID;

  -- One-time permissions to found a vault (by the operator) or to join one (by an owner of it).
  CREATE TABLE invites (
    token     BLOB PRIMARY KEY,          -- 32 bytes, SHA-256 of the token
    vault     BLOB,                      -- 32 bytes, id of the vault to join; NULL: found a new one
    name      TEXT,                      -- the operator's note
    expires   INTEGER NOT NULL,          -- ms since 1970
    bundle    BLOB,                      -- sealed; NULL for new vaults, and after use or expiry
    used_by   BLOB,                      -- 32 bytes, hash of the statement it was used for; NULL: open
    used_for  BLOB                       -- 32 bytes, id of the vault it was used for
  ) STRICT, WITHOUT ROWID;

  -- What a running server tells commands beside it.
  CREATE TABLE settings (
    name  TEXT PRIMARY KEY,              -- 'listen': addresses, comma separated
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- When devices of vaults were here last. For people only: nothing follows from it, and a rebuild
  -- begins it anew.
  CREATE TABLE logins (
    vault  INTEGER NOT NULL REFERENCES vaults (number),
    device BLOB NOT NULL,                -- 16 bytes
    seen   INTEGER NOT NULL,             -- ms since 1970, of its newest login
    PRIMARY KEY (vault, device)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Upkeep. Rows of packs may also have state 3: nothing of it is needed, and its file is to be removed.
  ALTER TABLE vaults ADD COLUMN collected INTEGER NOT NULL DEFAULT 0; -- ms since 1970: last collection
  ALTER TABLE packs ADD COLUMN scrubbed INTEGER NOT NULL DEFAULT 0;   -- ms since 1970: last read whole
                                                                      -- and compared; 0: never
  CREATE INDEX records_condemned ON records (vault, number) WHERE condemned IS NOT NULL;
  CREATE INDEX records_damaged ON records (vault, number) WHERE damaged = 1;
  CREATE INDEX packs_by_scrub ON packs (scrubbed);

  -- What commands ask of the server that runs beside them. Those of a server that has ended are void.
  CREATE TABLE requests (
    number INTEGER PRIMARY KEY,
    kind   TEXT NOT NULL,                -- 'gc', 'scrub', ...
    detail TEXT NOT NULL,                -- JSON
    answer TEXT                          -- JSON; NULL until it is done
  ) STRICT;
  `,
  `
  -- The pack of a vault that is to be compared next, without sorting all of them.
  CREATE INDEX packs_by_vault_scrub ON packs (vault, scrubbed);
  `,
  `
  -- Parity of packs: an index over the files below parity/.
  ALTER TABLE packs ADD COLUMN parity INTEGER NOT NULL DEFAULT 0; -- bytes of its parity file; 0: none;
                                                                  -- -1: none, for the pack was not what
                                                                  -- it was when it was to get one
  CREATE INDEX packs_bare ON packs (parity) WHERE parity = 0 AND state = 1;
  `,
];
