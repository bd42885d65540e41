import assert from "node:assert/strict";
import { UsageError } from "../lib/errors.ts";
import {
  formatByteSize,
  formatHostPort,
  parseByteSize,
  parseCount,
  parseDuration,
  parseHostPort,
} from "../lib/flags.ts";

Deno.test("parseHostPort() and formatHostPort() are each other's opposite", () => {
  for (const text of ["127.0.0.1:1357", "backup.example:1", "[::1]:65535", "[fe80::1%eth0]:80"]) {
    assert.equal(formatHostPort(parseHostPort(text)), text);
  }
});

Deno.test("parseHostPort() rejects what is no address", () => {
  for (
    const text of ["", "1357", "host", "host:", ":1", "host:0", "host:65536", "::1:80", "a b:1"]
  ) {
    assert.throws(() => parseHostPort(text), UsageError, text);
  }
  assert.equal(parseHostPort("127.0.0.1:0", { zero: true }).port, 0);
});

Deno.test("parseDuration() knows its units", () => {
  const cases: [string, number][] = [["250ms", 250], ["1.5s", 1500], ["2m", 120_000], [
    "7d",
    604_800_000,
  ]];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms);
  for (const text of ["", "5", "s", "-1s", "0s", "1w"]) {
    assert.throws(() => parseDuration(text), UsageError, text);
  }
});

Deno.test("parseByteSize() knows its units", () => {
  const cases: [string, number][] = [["0", 0], ["4096", 4096], ["64KiB", 65536], ["1.5M", 1572864]];
  for (const [text, bytes] of cases) assert.equal(parseByteSize(text), bytes);
  for (const text of ["", "K", "-1", "1X", "9999999PiB"]) {
    assert.throws(() => parseByteSize(text), UsageError, text);
  }
});

Deno.test("parseCount() takes whole numbers between its bounds", () => {
  assert.equal(parseCount("12"), 12);
  assert.equal(parseCount("0", { min: 0, max: 4 }), 0);
  assert.equal(parseCount("4", { max: 4 }), 4);
  assert.throws(() => parseCount("5", { max: 4 }), /"5"/);
  for (const text of ["0", "-1", "1.5", "x", ""]) {
    assert.throws(() => parseCount(text), UsageError, text);
  }
});

Deno.test("formatByteSize() is short", () => {
  assert.deepEqual([0, 1023, 1024, 5_000_000, 2 ** 40].map(formatByteSize), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "4.8 MiB",
    "1.0 TiB",
  ]);
});
