import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { ProtocolError, RefusedError, UnreachableError } from "../lib/errors.ts";
import { ALPN } from "../lib/protocol_v4.ts";
import { openServerKey, readPin, type ServerKey } from "../lib/server/certificate.ts";
import { connectPinned, fetchCertificate, pinnedName, readCertificate } from "../lib/tls.ts";
import { withFolder } from "./folder.ts";

const connectMs = 5000;

Deno.test("openServerKey() makes an end-entity certificate with the pin as its name", async () => {
  await withFolder(async (folder) => {
    const key = await openServerKey(folder);
    const certificate = new X509Certificate(key.pem);
    assert.equal(certificate.ca, false);
    assert.equal(certificate.subjectAltName, `DNS:${pinnedName(key.pin)}`);
    assert.equal(new Date(certificate.validFrom).getUTCFullYear(), 2000);
    assert.equal(new Date(certificate.validTo).getUTCFullYear(), 9999);
    assert.equal(Deno.statSync(join(folder, "server.key")).mode! & 0o777, 0o600);
  });
});

Deno.test("openServerKey() keeps the key, and makes a lost certificate again", async () => {
  await withFolder(async (folder) => {
    assert.equal(await readPin(folder), undefined);
    const first = await openServerKey(folder);
    assert.deepEqual(await openServerKey(folder), first);
    assert.deepEqual(await readPin(folder), first.pin);
    for (const spoil of [Deno.removeSync, (path: string) => Deno.writeTextFileSync(path, "x")]) {
      spoil(join(folder, "server.crt"));
      const again = await openServerKey(folder);
      assert.deepEqual(again.pin, first.pin);
      assert.equal(again.privateKeyPem, first.privateKeyPem);
    }
    Deno.writeTextFileSync(join(folder, "server.key"), "garbage");
    await assert.rejects(openServerKey(folder), /Cannot use .*server.key/);
  });
});

Deno.test("connectPinned() reaches the server that has the pin", async () => {
  await withServers(async ([server]) => {
    const certificate = await fetchCertificate(server.address, { pin: server.key.pin, connectMs });
    assert.equal(certificate.pem, server.key.pem);
    using conn = await connectPinned(server.address, { certificate, connectMs });
    assert.equal(await readText(conn), "hello");
  });
});

Deno.test("connectPinned() refuses another server, fetchCertificate() another pin", async () => {
  await withServers(async ([server, other]) => {
    const { address } = server;
    await assert.rejects(
      connectPinned(address, { certificate: other.key, connectMs }),
      (error: Error) => error instanceof RefusedError && /another key/.test(error.message),
    );
    await assert.rejects(
      fetchCertificate(address, { pin: other.key.pin, connectMs }),
      RefusedError,
    );
  });
});

Deno.test("connectPinned() refuses the right key under another name", async () => {
  await withServers(async ([server]) => {
    // A certificate for the right key is all that an attacker could copy.
    const certificate = { pem: server.key.pem, pin: new Uint8Array(32) };
    await assert.rejects(connectPinned(server.address, { certificate, connectMs }), RefusedError);
  });
});

Deno.test("connectPinned() and fetchCertificate() say when nobody is there", async () => {
  await withFolder(async (folder) => {
    const certificate = await openServerKey(folder);
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    listener.close();
    const address = { hostname: "127.0.0.1", port };
    await assert.rejects(connectPinned(address, { certificate, connectMs }), UnreachableError);
    await assert.rejects(fetchCertificate(address, { connectMs }), UnreachableError);
  });
});

Deno.test("connectPinned() and fetchCertificate() give up on a silent server", async () => {
  await withFolder(async (folder) => {
    const certificate = await openServerKey(folder);
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const address = { hostname: "127.0.0.1", port: (listener.addr as Deno.NetAddr).port };
    await assert.rejects(connectPinned(address, { certificate, connectMs: 50 }), UnreachableError);
    await assert.rejects(fetchCertificate(address, { connectMs: 50 }), UnreachableError);
  });
});

Deno.test("readCertificate() rejects what is none", () => {
  assert.throws(() => readCertificate("no certificate"), ProtocolError);
  assert.throws(() => readCertificate(new Uint8Array(100)), ProtocolError);
});

interface TestServer {
  key: ServerKey;
  address: { hostname: string; port: number };
}

/** Runs two servers that say hello. */
async function withServers(test: (servers: TestServer[]) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const listeners: Deno.TlsListener[] = [];
    const servers: TestServer[] = [];
    const serving: Promise<void>[] = [];
    for (const name of ["a", "b"]) {
      const path = join(folder, name);
      Deno.mkdirSync(path);
      const key = await openServerKey(path);
      const listener = Deno.listenTls({
        hostname: "127.0.0.1",
        port: 0,
        cert: key.pem,
        key: key.privateKeyPem,
        alpnProtocols: [ALPN],
      });
      listeners.push(listener);
      serving.push(sayHello(listener));
      const { port } = listener.addr as Deno.NetAddr;
      servers.push({ key, address: { hostname: "127.0.0.1", port } });
    }
    try {
      await test(servers);
    } finally {
      for (const listener of listeners) listener.close();
      await Promise.all(serving);
    }
  });
}

async function sayHello(listener: Deno.TlsListener): Promise<void> {
  for await (const conn of listener) {
    try {
      await conn.write(new TextEncoder().encode("hello"));
    } catch {
      // The client did not trust us.
    }
    conn.close();
  }
}

async function readText(conn: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(100);
  const count = await conn.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, count ?? 0));
}
