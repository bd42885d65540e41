/** Who is connected to each vault, so that a device is out at the moment in which it is revoked. */
import type { JournalState } from "../journal_state.ts";
import { findRole, type Login } from "./permissions.ts";

/** One connection that is logged in. */
export interface ConnectedMember {
  /** Of the vault. */
  vaultNumber: number;
  login: Login;
  /** Ends the connection, whatever it is doing. */
  expel: () => void;
}

export class Members {
  readonly #byVault = new Map<number, Set<ConnectedMember>>();

  add(member: ConnectedMember): void {
    const members = this.#byVault.get(member.vaultNumber) ?? new Set();
    this.#byVault.set(member.vaultNumber, members.add(member));
  }

  remove(member: ConnectedMember): void {
    const members = this.#byVault.get(member.vaultNumber);
    members?.delete(member);
    if (members?.size === 0) this.#byVault.delete(member.vaultNumber);
  }

  /** Ends the connections of those who have no role any more, but for who did it: it waits for its answer. */
  expelRevoked(state: JournalState, by: ConnectedMember): void {
    for (const member of this.#byVault.get(by.vaultNumber) ?? []) {
      if (member !== by && findRole(state, member.login) === undefined) member.expel();
    }
  }
}
