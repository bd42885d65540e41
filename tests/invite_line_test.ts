import assert from "node:assert/strict";
import { UsageError } from "../lib/errors.ts";
import { decodeInviteLine, encodeInviteLine, type Invite } from "../lib/invite_line.ts";

const invite: Invite = {
  kind: "join",
  addresses: [
    { hostname: "backup.example", port: 1358 },
    { hostname: "2001:db8::7", port: 70 },
  ],
  pin: new Uint8Array(32).fill(1),
  secret: new Uint8Array(32).fill(255),
};
const line = encodeInviteLine(invite);

Deno.test("decodeInviteLine() gives back what encodeInviteLine() was given", () => {
  assert.match(line, /^holdfast:\/\/backup\.example:1358,\[2001:db8::7\]:70\/join\/[a-z2-7]{52}\//);
  assert.deepEqual(decodeInviteLine(` ${line}\n`), invite);
  const other: Invite = { ...invite, kind: "new" };
  assert.deepEqual(decodeInviteLine(encodeInviteLine(other)), other);
});

Deno.test("decodeInviteLine() rejects every truncation, and other text", () => {
  for (let size = 0; size < line.length; size++) {
    assert.throws(() => decodeInviteLine(line.slice(0, size)), UsageError, `${size} characters`);
  }
  for (const text of [`${line}a`, `${line}/x`, line.replace("join", "read"), `x${line}`]) {
    assert.throws(() => decodeInviteLine(text), UsageError, text);
  }
});
