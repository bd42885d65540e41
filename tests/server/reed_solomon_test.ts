import assert from "node:assert/strict";
import fc from "fast-check";
import { invert, invertMatrix, multiply } from "../../lib/server/galois.ts";
import { encodingFactors, recoverShards, SHARDS_MAX, Sums } from "../../lib/server/reed_solomon.ts";
import { check } from "../property.ts";
import vectors from "../vectors/reed_solomon.json" with { type: "json" };

interface Shape {
  dataCount: number;
  parityCount: number;
}

function encode(data: Uint8Array[], { dataCount, parityCount }: Shape): Uint8Array[] {
  const sums = new Sums(parityCount, data[0].length);
  for (const [i, shard] of data.entries()) {
    sums.add(shard, encodingFactors({ dataCount, parityCount }, i));
  }
  return sums.done();
}

Deno.test("products and inverses are those of ISA-L", () => {
  for (const [a, b, product] of vectors.products) assert.equal(multiply(a, b), product);
  for (const [a, inverse] of vectors.inverses) assert.equal(invert(a), inverse);
  assert.throws(() => invert(0), RangeError);
});

Deno.test("the field is one: every element but 0 has its inverse, and products share out over sums", () => {
  for (let a = 1; a < 256; a++) assert.equal(multiply(a, invert(a)), 1);
  const byte = fc.integer({ min: 0, max: 255 });
  check(fc.property(byte, byte, byte, (a, b, c) => {
    assert.equal(multiply(a, b ^ c), multiply(a, b) ^ multiply(a, c));
    assert.equal(multiply(a, multiply(b, c)), multiply(multiply(a, b), c));
  }));
});

Deno.test("invertMatrix() says that a matrix has no inverse", () => {
  assert.throws(() => invertMatrix([new Uint8Array([1, 2]), new Uint8Array([2, 4])]), RangeError);
});

for (const { parity, size, ...shape } of vectors.codes) {
  const { dataCount, parityCount } = shape;
  Deno.test(`parity of ${dataCount} + ${parityCount} shards is that of ISA-L`, () => {
    const data = Array.from(
      { length: dataCount },
      (_, s) => Uint8Array.from({ length: size }, (_, i) => 31 * s + 7 * i + Math.floor(i * i / 3)),
    );
    assert.deepEqual(encode(data, shape).map((shard) => shard.toHex()), parity);
  });
}

Deno.test("whatever is missing follows from the rest, up to as many shards as there is parity", () => {
  const shape = fc.integer({ min: 1, max: 60 }).chain((dataCount) =>
    fc.record({
      dataCount: fc.constant(dataCount),
      parityCount: fc.integer({ min: 1, max: Math.min(20, SHARDS_MAX - dataCount) }),
    })
  );
  const cases = shape.chain(({ dataCount, parityCount }) =>
    fc.record({
      shape: fc.constant({ dataCount, parityCount }),
      data: fc.array(fc.uint8Array({ minLength: 9, maxLength: 9 }), {
        minLength: dataCount,
        maxLength: dataCount,
      }),
      lost: fc.uniqueArray(fc.integer({ min: 0, max: dataCount + parityCount - 1 }), {
        maxLength: parityCount,
      }),
    })
  );
  check(fc.property(cases, ({ shape, data, lost }) => {
    const parity = new Map(encode(data, shape).map((shard, j) => [j, shard]));
    for (const i of lost) parity.delete(i - shape.dataCount);
    const rest = data.map((shard, i) => lost.includes(i) ? undefined : shard);
    const recovered = recoverShards(rest, parity);
    assert.deepEqual(rest.map((shard, i) => shard ?? recovered.get(i)), data);
  }));
});

Deno.test("with the most shards that there can be, any of them may be missing", () => {
  for (const parityCount of [1, 12, 85, 128]) {
    const shape = { dataCount: SHARDS_MAX - parityCount, parityCount };
    const data = Array.from({ length: shape.dataCount }, (_, i) => new Uint8Array([i, 255 - i]));
    const parity = new Map(encode(data, shape).map((shard, j) => [j, shard]));
    const from = Math.max(shape.dataCount - parityCount, 0);
    for (const first of [0, from]) {
      const rest = data.map((shard, i) =>
        i >= first && i < first + parityCount ? undefined : shard
      );
      const recovered = recoverShards(rest, parity);
      assert.deepEqual(rest.map((shard, i) => shard ?? recovered.get(i)), data);
    }
  }
});

Deno.test("recoverShards() says that too much is missing, and takes short shards for ones that end in zeros", () => {
  const data = [new Uint8Array([1, 2]), new Uint8Array([3, 0]), new Uint8Array([0, 0])];
  const parity = encode(data, { dataCount: 3, parityCount: 1 });
  assert.throws(() => recoverShards([undefined, undefined, data[2]], new Map([[0, parity[0]]])), {
    message: "Cannot recover 2 shards from 1",
  });
  const short = [undefined, new Uint8Array([3]), new Uint8Array(0)];
  assert.deepEqual([...recoverShards(short, new Map([[0, parity[0]]]))], [[0, data[0]]]);
  assert.deepEqual(recoverShards(data, new Map()), new Map());
});
