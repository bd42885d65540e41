import assert from "node:assert/strict";
import {
  type AccessLimits,
  addressKey,
  ConnectionCount,
  RegistrationCount,
} from "../../lib/server/access.ts";

const LIMITS: AccessLimits = {
  connectionsMax: 3,
  connectionsPerAddressMax: 2,
  registration: true,
  registrationsPerMinuteMax: 2,
  clientsMax: 100,
  clientBytesMax: 1,
  totalBytesMax: 1,
};

Deno.test("ConnectionCount bounds each address and all", () => {
  const count = new ConnectionCount(LIMITS);
  assert.equal(count.add("a"), "ok");
  assert.equal(count.add("a"), "ok");
  assert.equal(count.add("a"), "connections of this address");
  assert.equal(count.add("b"), "ok");
  assert.equal(count.add("c"), "connections");
  count.remove("a");
  assert.equal(count.add("c"), "ok");
});

Deno.test("RegistrationCount starts again with each minute", () => {
  let now = 0;
  const count = new RegistrationCount(LIMITS, () => now);
  assert.equal(count.add("a", 0), "ok");
  assert.equal(count.add("a", 0), "ok");
  assert.equal(count.add("a", 0), "registrations of this address");
  assert.equal(count.add("b", 0), "ok");
  now = 60_000;
  assert.equal(count.add("a", 0), "ok");
  assert.equal(count.add("a", 100), "too many clients");
});

Deno.test("RegistrationCount remembers a bounded number of addresses", () => {
  const count = new RegistrationCount(LIMITS, () => 0);
  for (let n = 0; n < 10_000; n++) assert.equal(count.add(`${n}`, 0), "ok");
  assert.equal(count.add("one more", 0), "registrations of this address");
  assert.equal(count.add("7", 0), "ok");
});

Deno.test("addressKey() takes together what one machine can have", () => {
  assert.equal(addressKey("192.0.2.7"), "192.0.2.7");
  assert.equal(addressKey("::ffff:192.0.2.7"), "192.0.2.7");
  assert.equal(addressKey("2001:db8:1:2:3:4:5:6"), addressKey("2001:db8:1:2::9"));
  assert.notEqual(addressKey("2001:db8:1:2::9"), addressKey("2001:db8:1:3::9"));
  assert.equal(addressKey("::1"), "0:0:0:0::/64");
  assert.equal(addressKey("fe80::1%eth0"), "fe80:0:0:0::/64");
});
