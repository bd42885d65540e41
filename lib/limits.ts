/**
 * Every bound that a stranger can run into, with its unit. Those that an operator may change are the
 * defaults of flags (`server serve --help`); the others are part of a protocol or a format.
 */

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const SECOND = 1000;
const DAY = 24 * 60 * 60 * SECOND;

/** Bounds of protocol version 3 that follow from its fields (docs/protocol.md). */
export const CLASSIC = {
  /** Content size is a 32-bit field, and so is the payload size that holds it and 259 bytes more. */
  cipherBytesMax: 0xffffffff - 259 - ((0xffffffff - 259) % 16),
  /** Padding takes at least one byte. */
  plainBytesMax: 0xffffffff - 259 - ((0xffffffff - 259) % 16) - 1,
  /** A field of 255 bytes with its NUL. */
  nameBytesMax: 254,
  /** Line 2 of `transfer.info`. */
  transferNameCharsMax: 100,
  /** A payload that nobody understands is skipped up to this size; past it the connection ends. */
  skippedPayloadBytesMax: 64 * KIB,
  /** A server's answer that is longer than any of the protocol's is not one. */
  answerPayloadBytesMax: 4 * KIB,
  /** Ciphertext is decrypted, checked and written in pieces of this size (a multiple of 16). */
  pieceBytes: 256 * KIB,
  /** After 1030 some clients block for an answer: they get one when nothing came for this long. */
  retryAnswerMs: 2500,
  /** Sent once, and repeated at most this many times after an error or a wrong checksum. */
  repeatsMax: 3,
  /** Received files of one client that wait for its 1029. The oldest gives way. */
  unconfirmedFilesMax: 16,
  /** Confirmed files that are remembered, so that a confirmation whose answer was lost can be repeated. */
  confirmedFilesMax: 10_000,
  /** What a file counts against a bound at least: empty files take room too, bytes. */
  chargedBytesMin: 4 * KIB,
  /** Slowest transfer that a message's time allows for, bytes per second. */
  slowestBytesPerSecond: 16 * KIB,
  /** An unconfirmed file outlives its connection by the time that its checksum may take. */
  slowestChecksumBytesPerSecond: 16 * MIB,
} as const;

/** Defaults of the server's flags. */
export const SERVER_DEFAULTS = {
  classicPort: 1357,
  connectionsMax: 512,
  connectionsPerAddressMax: 256,
  idleMs: 300 * SECOND,
  messageMs: 60 * SECOND,
  stallMs: 30 * SECOND,
  confirmMs: 10 * SECOND,
  stopMs: 10 * SECOND,
  clientBytesMax: 64 * GIB,
  totalBytesMax: 1024 * GIB,
  clientsMax: 100_000,
  registrationsPerMinuteMax: 600,
  vaultPort: 1358,
  /** Room that is kept free, so that collection can go on: some packs, and what the database writes meanwhile. */
  reserveBytes: 64 * MIB,
  loginMs: 30 * SECOND,
} as const;

/** Addresses whose registrations are counted within a minute; past it newcomers wait. */
export const COUNTED_ADDRESSES_MAX = 10_000;

/** Growth of a thread's heap after which garbage is collected: in a backup's main thread and workers, and in a restore, bytes. */
export const HEAP_GROWTH = {
  mainBytesMax: 16 * MIB,
  workerBytesMax: 10 * MIB,
  restoreBytesMax: 32 * MIB,
} as const;

/**
 * Large files are written in such pieces. For a larger one Linux looks for memory in one piece as large, which takes up to
 * ten times as long (bench/README.md).
 */
export const FILE_PIECE_BYTES = 64 * KIB;

/** Log lines that wait for a slow reader of the log; past it lines are dropped and counted. */
export const LOG_QUEUE_BYTES_MAX = 1 * MIB;

/** A connection that is being refused may still send this much before it is cut. */
export const LINGER = { bytesMax: 1 * MIB, ms: 1 * SECOND } as const;

/** Files of settings that are read whole (`me.info`, `transfer.info`, `port.info`). */
export const SETTINGS_FILE_BYTES_MAX = 64 * KIB;

/** Defaults of the client's flags. */
export const CLIENT_DEFAULTS = {
  connectMs: 15 * SECOND,
  answerMs: 60 * SECOND,
  /** Slowest server that is waited for while it decrypts and sums a file, bytes per second. */
  slowestAnswerBytesPerSecond: 256 * KIB,
  pieceBytes: 1 * MIB,
} as const;

/** Bounds of the vault format and of its journal (docs/format.md, "Limits"). */
export const VAULT = {
  recordBytesMax: 4 * MIB,
  linksMax: 8192,
  /** Contents of a record before compression: with padding, header and tag they fit a record. */
  plaintextBytesMax: 4 * MIB - 128 * KIB,
  /** Length of a path, and of a link's target, in UTF-16 units. */
  pathUnitsMax: 32 * KIB,
  /** Extents in an entry itself; a file with more has list records. */
  entryExtentsMax: 1000,
  entryListsMax: 4000,
  /** Levels of index records over the segments of one snapshot. */
  indexLevelsMax: 8,
  /** One event as stored and sent. The largest is a slot with the keyring of a hundred epochs. */
  eventBytesMax: 256 * KIB,
  /** What an event says it has seen must be among the newest ones, whose hashes are kept. */
  seenEventsMax: 4096,
  /** Devices that a vault has ever had; the journal refuses the next one. */
  devicesMax: 4096,
  /** Epochs of the write secret and the read key; one begins when a device is revoked. */
  epochsMax: 100,
  /** Replaced slots of one recipient, and replaced recovery codes, that can be brought back. */
  heldPerRecipientMax: 16,
  /** Tag labels of one commit. */
  tagsMax: 32,
  tagCharsMax: 200,
  /** Roots named by one forget, unforget or drop event. */
  rootsPerEventMax: 1024,
  /** A device's name as it stands in the journal, sealed. */
  sealedNameBytesMax: 320,
  /** Hold before a policy says otherwise, and the shortest that one may set. */
  holdMs: 7 * DAY,
  holdMsMin: 1 * DAY,
  holdMsMax: 3660 * DAY,
} as const;

/** Bounds of protocol version 4 (docs/protocol_v4.md, "Bounds"). */
export const WIRE = {
  payloadBytesMax: 8 * MIB,
  /** Ids in one HAS or GET. */
  idsPerRequestMax: 8192,
  /** Ids in one MISSING answer. */
  missingIdsMax: 1024,
  /** PUTs that one STORED answer acknowledges. */
  storedIdsMax: 65_536,
  /** An EVENTS answer ends after the event that takes it over this size. */
  eventsPageBytes: 1 * MIB,
  /** What an owner uploads with an invite: the keyring of a hundred epochs fits. */
  bundleBytesMax: 256 * KIB,
  inviteMsMax: 30 * DAY,
  /** Open invites of one vault. */
  invitesPerVaultMax: 64,
  errorTextBytesMax: 1024,
  /** A payload before login: an enrolment fits. */
  strangerPayloadBytesMax: 320 * KIB,
  /** Requests of one connection before it is logged in. */
  strangerRequestsMax: 16,
  /** Unacknowledged PUTs of one connection; above the size of a pack, or every pack would wait. */
  windowBytes: 48 * MIB,
  /** Answers of one connection that wait for a slow reader; past it no request is read. */
  answerQueueBytesMax: 1 * MIB,
  /** What is smaller goes out together, as one write: to copy more takes longer than a write. */
  joinedWriteBytes: 64 * KIB,
  /** How long an answer waits for the next at most, while more requests are there. */
  gatherMs: 5,
} as const;

/** Files of a profile that are read whole; the state of a journal with a million snapshots fits. */
export const PROFILE_FILE_BYTES_MAX = 128 * MIB;

/** What a client that reads snapshots keeps in memory. */
export const READER = {
  /** Records of a tree that are kept to be looked at again; each has at most 4 MiB. */
  rememberedMax: 8,
  /** Keys of sessions. */
  sessionsMax: 4096,
  /** Records that are loaded before they are asked for. */
  aheadMax: 8,
} as const;

/** How a restore is cut into jobs, and what it keeps in memory. */
export const RESTORE = {
  /** A job ends at any of these, before a file that shares no record with it. */
  jobFilesMax: 512,
  jobRecordsMax: 64,
  jobBytesMax: 16 * MIB,
  /** Entries of any kind between two jobs; so what waits for a job has a bound. */
  jobEntriesMax: 4096,
  /** A larger file is written by several jobs. */
  wholeFileBytesMax: 16 * MIB,
  /** Jobs that a worker has at one time: one that is read and one that is written. */
  jobsPerWorker: 2,
  workersMax: 2,
  /** Below this much, starting workers takes longer than they save. */
  inlineBytesMax: 4 * MIB,
  /** Runs of zeros of this size, in place, are left out of a file. */
  sparseBlockBytes: 64 * KIB,
  /** Files with several names that are remembered; past it a name becomes a file of its own. */
  hardLinksMax: 262_144,
  /** How long workers may take to leave off. */
  stopMs: 3 * SECOND,
} as const;

/** What a check keeps in memory. */
export const CHECK = {
  /** Ids of records that were found right, 8 bytes each; a power of two. Past it some are looked at again. */
  rememberedIds: 4 * MIB,
  /** Records of contents in one request. */
  recordsPerRequest: 64,
  /** Records that are being opened. */
  opensMax: 8,
} as const;

/** What a drill takes, unless it is told otherwise. */
export const DRILL = {
  files: 100,
  bytes: 256 * MIB,
  /** More files are a restore. */
  filesMax: 10_000,
  /** Bytes of two files that are compared at once. */
  pieceBytes: 1 * MIB,
} as const;

/** A client's connections to its vault (docs/protocol_v4.md). */
export const VAULT_CLIENT = {
  /** Longest silence of a server that owes an answer. */
  answerMs: 120 * SECOND,
  /** The same while a commit is checked: the server follows every link of the snapshot. */
  commitMs: 1800 * SECOND,
  /** A difference between the server's clock and this machine's that people are told of. */
  clockDifferenceMs: 60 * 60 * SECOND,
  /** Unacknowledged PUTs of a connection; above the size of a pack, or every pack would wait. */
  windowBytes: 32 * MIB,
  /** Pauses before a lost connection is made again; then it is given up. */
  reconnectMs: [0, 500, 1000, 2000, 4000, 8000, 15_000, 30_000],
  /** Pauses before a request is repeated that the server was too busy for. */
  busyMs: [500, 1000, 2000, 4000, 8000],
  /** Times that a statement is signed again because the journal has gone on. */
  staleMax: 8,
  /** Pauses in which an owner that is just changing the vault's keys may leave those of this device. */
  slotMs: [200, 500, 1000, 2000, 4000],
  /** How often a connection looks at its clock. */
  tickMs: 1000,
} as const;

/** Bounds of the server's store (docs/store.md). */
export const STORE = {
  /** A pack is finished when it has this size, or this many records, whichever comes first. */
  packBytes: 16 * MIB,
  packRecordsMax: 65_536,
  /** Or when nothing came for this long, or it is this old. */
  packQuietMs: 1 * SECOND,
  packAgeMsMax: 5 * SECOND,
  /** No pack file is larger: the target, one more record, and the trailer. */
  packFileBytesMax: 32 * MIB,
  /** Small pieces that wait for the disk are written together up to this size. */
  joinedWriteBytes: 16 * KIB,
  /** Neighbouring records are read together up to this size. */
  joinedReadBytes: 1 * MIB,
  /** And across a gap of at most this size. */
  readGapBytesMax: 4 * KIB,
  /** How deep records may link records below a root: index levels, segment, list. */
  linkDepthMax: 16,
  /** Incomplete records that one walk remembers; past it the walk ends with what it has found. */
  walkedIncompleteMax: 65_536,
  /** Records found complete that are written down together. */
  provenBatchMax: 4096,
  /** Frames and reads that are in memory at one time, of all connections. */
  bufferBytesMax: 512 * MIB,
  /** Of these, those of one vault: no vault can keep the others waiting. */
  vaultBufferBytesMax: 128 * MIB,
  /** A frame up to this size is not counted: a login never waits for room. */
  uncountedBytesMax: 64 * KIB,
  /** A backup session ends when it was not used for this long. */
  sessionMs: 6 * 60 * 60 * SECOND,
  /** So that whoever has stolen one device does not keep the others from backing up. */
  sessionsPerDeviceMax: 8,
  sessionsPerVaultMax: 256,
  /**
   * With so many, a device's session gives way to its next one when no connection has it, or when it was not used for
   * this long.
   */
  abandonedMs: 60 * SECOND,
  /** How long it is remembered that a session was fenced, or what an invite was used for. */
  rememberedMs: 30 * DAY,
  /** Events after which the journal's state is stored anew. */
  checkpointEvents: 256,
  /** A vault that nobody uses is closed after this long. */
  vaultIdleMs: 60 * SECOND,
} as const;

/** How the server looks after its store (docs/store.md, "Collection" and "Scrub"). */
export const UPKEEP = {
  /** A step of the wall clock that is not believed. */
  clockStepMs: 60 * 60 * SECOND,
  /** How often the clock's time is noted. */
  clockNoteMs: 60 * SECOND,
  /** A pack of which less than this is needed is rewritten. */
  sparseShare: 0.5,
  /** Records that are read together when they are moved or compared. */
  idsPerRead: 256,
  /** Records with links that are read together when they are followed: links of so many are in memory for each level. */
  idsPerMark: 16,
  /** Ids that are remembered while links are followed, 32 bytes each; a power of two. */
  seenIds: 512 * 1024,
  /** Share of the time that scheduled work takes, and work that somebody waits for; less while devices are served. */
  shares: { quiet: 0.5, busy: 0.1 },
  askedShares: { quiet: 0.8, busy: 0.2 },
  /** How long after a request the server still counts as busy. */
  busyMs: 1 * SECOND,
  /** How often each vault is collected, and each pack read and compared. */
  collectMs: 24 * 60 * 60 * SECOND,
  scrubMs: 30 * DAY,
  /** How long after its start the server begins with either. */
  delayMs: 10 * 60 * SECOND,
  /** Snapshots of one vault that a command is told of. */
  listedSnapshotsMax: 10_000,
  /** The slowest rate of a device: its client waits two minutes for a sign of life. */
  rateBytesMin: 1 * MIB,
  /** Time whose share a device may use at once. */
  burstMs: 1 * SECOND,
  /** How old what a quota is compared with may be. */
  quotaMs: 1 * SECOND,
  /** How old what a device is told of its vault's space may be: it takes a look at the whole index. */
  usageMs: 2 * SECOND,
  /** How often a server looks for requests, and a command for its answer. */
  requestMs: 500,
} as const;

/** Parity of packs (docs/store.md, "Parity"). */
export const PARITY = {
  /** Its size, in hundredths of a pack's. */
  percentMin: 1,
  percentMax: 50,
  /** No parity file is larger: half of the largest pack, and what it says about itself. */
  fileBytesMax: 24 * MIB,
  /** Packs that get theirs one after another, before anything else is looked for. */
  turnMs: 5 * SECOND,
  /** When nothing could be written, for example because the disk is full, it is tried again after this long. */
  retryMs: 60 * SECOND,
  /** A pack that could not be repaired for somebody who reads is not tried again within this time. */
  failedMs: 10 * 60 * SECOND,
  /** Such packs that are remembered; past it all are forgotten. */
  failedMax: 1024,
} as const;

/** Room that is kept for a full disk (docs/store.md, "Reserve"). */
export const RESERVE = {
  /** It is written in pieces of this size, and others have the thread in between. */
  pieceBytes: 1 * MIB,
  /** How often it is tried to make it anew. */
  retryMs: 5 * SECOND,
} as const;

/** The port for those who watch the server. */
export const OPS = {
  /** How old what `/metrics` says may be. */
  cacheMs: 2 * SECOND,
} as const;

/** Copying a vault out of a store (docs/store.md, "Export"). */
export const EXPORT = {
  /** How often a copy under way says that it is. */
  renewMs: 20 * SECOND,
  /** One that has not said so for this long has ended, and collection goes on without it. */
  pinMs: 60 * 60 * SECOND,
  /** Names of packs that are read together. */
  packsPerPage: 256,
  /** Times that packs which came meanwhile are copied; more say that something is wrong. */
  passesMax: 100,
} as const;

/** Workers of one command of the client. */
export const WORKERS_MAX = 4;

/** When a further worker is started. */
export const SPARE_CORES = {
  /** Of a core, for each thread that computes; with less, others have them. */
  shareMin: 0.75,
  /** Jobs over which it is smoothed. */
  jobsNoted: 8,
} as const;

/** A file of patterns for `--exclude-file`. */
export const EXCLUDE_FILE_BYTES_MAX = 1 * MIB;

/** A backup's bounds, so that its memory grows neither with a file nor with a tree. */
export const BACKUP = {
  /** Past this, further cores gain nothing over one connection to one server. */
  workersMax: WORKERS_MAX,
  /** Jobs of one worker that are under way, so that its core is never idle. */
  jobsPerWorker: 2,
  /** Files of 256 KiB and more go whole to a worker; from this size on they are cut once for all of them. */
  hugeFileBytes: 64 * MIB,
  /** A job takes files up to the first bound, ends by chance before the second, and never has more. */
  jobBytesMin: 4 * MIB,
  jobBytesMax: 8 * MIB,
  jobFilesMax: 512,
  /** A buffer for a large file: several chunks fit, and at least the largest with what is read behind it. */
  pieceBytes: 8 * MIB,
  /** Records of one thread that are sealed and wait for the sender. */
  sealsMax: 4,
  /**
   * Records of one thread that are on their way, in bytes. Those of two must be more than a pack, or the server would wait
   * for more before it acknowledges.
   */
  unstoredBytesMax: 20 * MIB,
  /** Records that wait for an answer to HAS, in bytes. */
  heldBytesMax: 4 * MIB,
  /** Records whose coming again is noticed without asking. */
  recentIdsMax: 16_384,
  /** Entries that wait for the contents of an earlier one. */
  waitingEntriesMax: 4_096,
  /** How long the walk, or a look at what it has left, may keep all else in the main thread from its turn. */
  turnMs: 100,
  /** Entries in a message from the thread that walks, and messages that it may be ahead. */
  scanBatchEntries: 512,
  scanBatchesAheadMax: 24,
  /** Entries that gather before the tree takes them, if none has to wait. */
  entriesAheadMax: 256,
  /** Hard-linked files whose contents wait for their other names. */
  linkedFilesMax: 4_096,
  /** Segments of the last snapshot behind the walk whose references can be used again. */
  knownSegmentsMax: 256,
  /** Records of small files of which is watched how much is in use. */
  watchedRecordsMax: 16_384,
  /** Records whose files are sent again in one run, and those files' share of all bytes. */
  sparseRecordsMax: 4_096,
  sparseShare: 0.02,
  /** Paths that are reported one by one; of more only the number. */
  reportedPathsMax: 100,
  /** The last snapshot's entries: one record of the file, and its last one. */
  keptRecordBytesMax: 16 * MIB,
  /** Passes of one run: each after the first heals what the server did not have. */
  passesMax: 4,
} as const;
