/**
 * From the file name that a client sent to the name under which the server stores it
 * (docs/protocol.md, "File names"). The result is safe on every usual file system. Different names stay different where
 * the file system tells upper from lower case.
 */
import { ProtocolError } from "../errors.ts";

/** Longest name that usual file systems take, in bytes. */
const STORED_NAME_BYTES_MAX = 255;
/** Control characters, and what Windows does not allow in a name. Separators are gone by then. */
// deno-lint-ignore no-control-regex -- control characters are what is looked for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f<>:"|?*]/g;
/** A `%` that would read as an escape is escaped too, or two names could meet. */
const LOOKS_ESCAPED = /%(?=[0-9A-Fa-f]{2})/g;
/** Names that Windows takes for devices, with any extension. */
const RESERVED = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\.|$)/i;
/** Windows drops these from the end of a name. */
const DROPPED_END = /[. ]$/;

/**
 * The last part of a path of either system.
 *
 * @throws {ProtocolError} if nothing is left, or `.` or `..`
 */
export function baseName(path: string): string {
  const name = path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
  if (name === "" || name === "." || name === "..") {
    throw new ProtocolError("Cannot accept file name: it names no file");
  }
  return name;
}

/**
 * The name on disk for a base name: characters that are unsafe become `%` and two hex digits for each byte of UTF-8.
 *
 * @throws {ProtocolError} if it is over 255 bytes then
 */
export function storedName(name: string): string {
  let stored = name.replace(LOOKS_ESCAPED, escapeCharacter).replace(UNSAFE, escapeCharacter);
  if (RESERVED.test(stored)) stored = escapeCharacter(stored[0]) + stored.slice(1);
  if (DROPPED_END.test(stored)) stored = stored.slice(0, -1) + escapeCharacter(stored.slice(-1));
  if (new TextEncoder().encode(stored).length > STORED_NAME_BYTES_MAX) {
    throw new ProtocolError("Cannot accept file name: it is too long");
  }
  return stored;
}

/** The opposite of {@link storedName}. */
export function originalName(stored: string): string {
  const bytes: number[] = [];
  for (const part of stored.match(/%[0-9A-Fa-f]{2}|[^%]+|%/g) ?? []) {
    if (part.length === 3 && part[0] === "%") bytes.push(parseInt(part.slice(1), 16));
    else bytes.push(...new TextEncoder().encode(part));
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}

function escapeCharacter(character: string): string {
  let escaped = "";
  for (const byte of new TextEncoder().encode(character)) {
    escaped += "%" + byte.toString(16).padStart(2, "0").toUpperCase();
  }
  return escaped;
}
