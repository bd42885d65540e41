/**
 * How vaults and devices come to be (docs/protocol_v4.md, "Enrolment"): one-time tokens, of which only hashes are
 * kept, turn into a first or a further event of a journal.
 */
import { createHash } from "node:crypto";
import { equalBytes } from "../bytes.ts";
import type { InviteRow } from "../db_vault.ts";
import { decodeStatement, EventKind } from "../journal.ts";
import { STORE, WIRE } from "../limits.ts";
import { type Appended, ErrorCode, type InviteUpload } from "../protocol_v4.ts";
import type { Enrolment } from "../protocol_v4_login.ts";
import type { Clock } from "../time.ts";
import { judgeStatement, RequestError } from "./request_error.ts";
import type { VaultStore } from "./vault_store.ts";
import { statementHash } from "./vault_journal.ts";

export interface EnrolmentContext {
  store: VaultStore;
  clock: Clock;
}

/** What is kept of a token. 32 bytes. */
export function tokenHash(token: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(token).digest());
}

/** FOUND: begins a vault. @throws {RequestError} `BAD_INVITE`, `BAD_EVENT` */
export async function foundVault(
  { token, statement }: Enrolment,
  context: EnrolmentContext,
): Promise<Appended> {
  const hash = tokenHash(token);
  const invite = await findInvite(hash, context);
  if (invite.vaultId !== undefined) throw badInvite("it is to join a vault, not to found one");
  checkUse(invite, statement, context.clock);
  return await judgeStatement(() => context.store.found(statement, hash));
}

/** FETCH_INVITE: what the owner has left for the joining device. @throws {RequestError} `BAD_INVITE` */
export async function fetchBundle(
  token: Uint8Array,
  context: EnrolmentContext,
): Promise<Uint8Array> {
  const { bundle, used, expiresMs } = await findInvite(tokenHash(token), context);
  if (used) throw badInvite("it was used");
  if (expiresMs < context.clock.wall()) throw badInvite("it has expired");
  if (bundle === undefined) throw badInvite("it is to found a vault, not to join one");
  return bundle;
}

/** JOIN: adds a device to a vault. @throws {RequestError} `BAD_INVITE`, `BAD_EVENT`, `STALE_EVENT` */
export async function joinVault(
  { token, statement }: Enrolment,
  context: EnrolmentContext,
): Promise<Appended> {
  const { store, clock } = context;
  const hash = tokenHash(token);
  const invite = await findInvite(hash, context);
  if (invite.vaultId === undefined) throw badInvite("it is to found a vault, not to join one");
  checkUse(invite, statement, clock);
  const vault = await store.enter(invite.vaultId);
  if (!vault) throw badInvite("its vault is gone");
  try {
    return await judgeStatement(async () => {
      if (decodeStatement(statement).kind !== EventKind.DEVICE) {
        throw new RequestError(ErrorCode.BAD_EVENT, "Cannot join: the statement adds no device");
      }
      const isNew =
        await store.db.findStatement(vault.number, statementHash(statement)) === undefined;
      if (isNew) await vault.quota.checkDevices(vault.journal.state);
      const use = { token: hash, statement: statementHash(statement), vaultId: vault.id };
      const appended = await vault.journal.append(statement, { invite: use });
      await store.db.useInvite(use); // the event may be there from an attempt before
      return appended;
    });
  } finally {
    store.leave(vault);
  }
}

/** INVITE: keeps what an owner has sealed for a device to come. @throws {RequestError} */
export async function keepInvite(
  { tokenHash: token, expiresMs, bundle }: InviteUpload,
  { vaultId, store, clock }: EnrolmentContext & { vaultId: Uint8Array },
): Promise<void> {
  const now = clock.wall();
  await store.db.removeInvites({ nowMs: now, usedMs: now - STORE.rememberedMs });
  const known = await store.db.findInvite(token);
  if (known) {
    const isSame = known.vaultId && equalBytes(known.vaultId, vaultId) && known.bundle &&
      equalBytes(known.bundle, bundle);
    if (isSame) return;
    throw badInvite("its token is in use");
  }
  if (expiresMs <= now || expiresMs > now + WIRE.inviteMsMax) {
    throw badInvite("it must end within 30 days");
  }
  if (await store.db.countOpenInvites(vaultId) >= WIRE.invitesPerVaultMax) {
    throw new RequestError(ErrorCode.BUSY, "Cannot keep invite: the vault has too many open ones");
  }
  await store.db.addInvite({ token, vaultId, expiresMs, bundle });
}

async function findInvite(token: Uint8Array, { store }: EnrolmentContext): Promise<InviteRow> {
  const invite = await store.db.findInvite(token);
  if (!invite) throw badInvite("it is unknown, or expired long ago");
  return invite;
}

/** An invite is good before it expires, and for ever for what it was used for. */
function checkUse({ used, expiresMs }: InviteRow, statement: Uint8Array, clock: Clock): void {
  if (used) {
    if (equalBytes(used.statement, statementHash(statement))) return;
    throw badInvite("it was used for other keys");
  }
  if (expiresMs < clock.wall()) throw badInvite("it has expired");
}

function badInvite(state: string): RequestError {
  return new RequestError(ErrorCode.BAD_INVITE, `Cannot use invite: ${state}`);
}
