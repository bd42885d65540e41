/** What who is logged in may do (docs/protocol_v4.md, "Roles"): booleans, looked at in one place. */
import { Role } from "../identity.ts";
import { EventKind, type Statement } from "../journal.ts";
import type { JournalState } from "../journal_state.ts";
import { LoginKind, RECOVERY_ROLE } from "../protocol_v4_login.ts";
import { equalBytes } from "../bytes.ts";

export interface Permissions {
  /** See the journal. */
  list: boolean;
  /** Store records and commit roots. */
  put: boolean;
  /** Get records, and say what came of it. */
  read: boolean;
  /** Forget snapshots, and bring them back. */
  delete: boolean;
  /** Add and revoke devices, begin epochs. */
  admin: boolean;
}

export const NO_PERMISSIONS: Permissions = {
  list: false,
  put: false,
  read: false,
  delete: false,
  admin: false,
};

/** Who has logged in. */
export interface Login {
  kind: LoginKind;
  id: Uint8Array;
}

/** The role as the journal has it now; undefined if it has none any more. */
export function findRole(state: JournalState, { kind, id }: Login): number | undefined {
  if (kind === LoginKind.RECOVERY) {
    return equalBytes(state.facts.recovery.id, id) ? RECOVERY_ROLE : undefined;
  }
  const device = state.device(id);
  return device === undefined || device.revoked ? undefined : device.role;
}

export function permissionsOf(role: number | undefined): Permissions {
  switch (role) {
    case RECOVERY_ROLE:
      return { ...NO_PERMISSIONS, list: true, admin: true };
    case Role.WRITER:
      return { ...NO_PERMISSIONS, list: true, put: true };
    case Role.READER:
      return { ...NO_PERMISSIONS, list: true, put: true, read: true };
    case Role.OWNER:
      return { list: true, put: true, read: true, delete: true, admin: true };
    default:
      return NO_PERMISSIONS;
  }
}

/** What APPEND of a statement needs; undefined if no client may append it. */
export function permissionFor({ kind, signer, body }: Statement): keyof Permissions | undefined {
  switch (kind) {
    case EventKind.REVOKE:
      return equalBytes(signer, body) ? "list" : "admin"; // a device may always revoke itself
    case EventKind.DEVICE:
    case EventKind.KEYS:
    case EventKind.SLOT:
    case EventKind.RECOVERY:
      return "admin";
    case EventKind.FORGET:
    case EventKind.UNFORGET:
    case EventKind.POLICY:
      return "delete";
    case EventKind.DRILL:
      return "read";
    default:
      return undefined;
  }
}
