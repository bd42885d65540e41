/** Collection: what must go goes, and what is needed stays, whatever happens meanwhile. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { EventKind } from "../../lib/journal.ts";
import { encodeRoots } from "../../lib/journal_body.ts";
import { STORE } from "../../lib/limits.ts";
import { RecordType } from "../../lib/record.ts";
import { makeRecord, type TestRecord } from "./fixture.ts";
import { DAY_MS, type StoreBench, withStoreBench } from "./store_bench.ts";

/** A root over a segment over data. */
function makeTree(
  data: TestRecord[],
): { data: TestRecord[]; segment: TestRecord; all: TestRecord[]; root: TestRecord } {
  const segment = makeRecord(RecordType.SEGMENT, data);
  const root = makeRecord(RecordType.ROOT, [segment]);
  return { data, segment, root, all: [...data, segment, root] };
}

function makeData(count: number, size = 100): TestRecord[] {
  return Array.from({ length: count }, () => makeRecord(RecordType.DATA, [], size));
}

async function backUp(bench: StoreBench, tree: { all: TestRecord[]; root: TestRecord }) {
  const device = await bench.member();
  await device.put(...tree.all);
  assert.equal(await device.commit(tree.root), 0);
  await device.close();
}

/** Lets the hold pass, and every session end. */
async function letHoldPass(bench: StoreBench): Promise<void> {
  bench.clock.shiftMs += 31 * DAY_MS;
  await bench.sessions.sweep();
}

Deno.test("what is forgotten stays until its hold has passed, and only then goes", async () => {
  await withStoreBench(async (bench) => {
    const shared = makeData(2);
    const old = makeTree([...shared, ...makeData(30, 1000)]);
    const young = makeTree([...shared, ...makeData(1)]);
    await backUp(bench, old);
    await backUp(bench, young);
    await bench.forget(old.root);
    for (let run = 0; run < 3; run++) {
      assert.equal(await bench.drop(), 0);
      const { condemned, blocked } = await bench.collect();
      assert.deepEqual([condemned, blocked], [0, undefined]);
    }
    await bench.check(...old.all, ...young.all);

    await letHoldPass(bench);
    assert.equal(await bench.drop(), 1);
    const first = await bench.collect();
    assert.deepEqual([first.condemned, first.deleted, first.waiting], [32, 0, 32]);
    await bench.check(...old.all, ...young.all); // condemned is not deleted
    const device = await bench.member();
    assert.deepEqual(await device.has(old.root, old.data[5], young.root), [false, false, true]);
    const second = await bench.collect();
    assert.deepEqual([second.deleted, second.packsRemoved, second.recordsMoved], [32, 1, 2]);
    await bench.check(...young.all);
    assert.deepEqual(await bench.get(old.root, old.data[9]), ["missing", "missing"]);
    assert.equal(bench.packNames.length, 2);
    await bench.crash();
    await bench.check(...young.all);
    assert.equal(await (await bench.member()).commit(old.root), 1);
  });
});

Deno.test("a forgotten snapshot that was brought back is not dropped", async () => {
  await withStoreBench(async (bench) => {
    const tree = makeTree(makeData(3));
    await backUp(bench, tree);
    await bench.forget(tree.root);
    await bench.append(EventKind.UNFORGET, encodeRoots([tree.root.id]));
    await letHoldPass(bench);
    assert.equal(await bench.drop(), 0);
    for (let run = 0; run < 3; run++) await bench.collect();
    await bench.check(...tree.all);
  });
});

Deno.test("nothing that an open session was told is there is deleted before it ends", async () => {
  await withStoreBench(async (bench) => {
    const tree = makeTree(makeData(3));
    const device = await bench.member();
    await device.put(...tree.data);
    await device.close(); // interrupted; nothing reaches the data
    const later = await bench.member();
    assert.deepEqual(await later.has(...tree.data), [true, true, true]);
    for (let run = 0; run < 3; run++) {
      const { deleted, waiting } = await bench.collect();
      assert.deepEqual([deleted, waiting], [0, 3]);
    }
    await later.put(tree.segment, tree.root);
    assert.equal(await later.commit(tree.root), 0);
    await later.close();
    for (let run = 0; run < 3; run++) await bench.collect();
    await bench.check(...tree.all);
  });
});

Deno.test("sessions outlive the server, and protect what they were told as before", async () => {
  await withStoreBench(async (bench) => {
    const tree = makeTree(makeData(3));
    const device = await bench.member();
    await device.put(...tree.data);
    await bench.crash();
    for (let run = 0; run < 3; run++) assert.equal((await bench.collect()).deleted, 0);
    const again = await bench.member();
    again.sessionId = device.sessionId;
    await again.open();
    await again.put(tree.segment, tree.root);
    assert.equal(await again.commit(tree.root), 0);
    await bench.check(...tree.all);
  });
});

Deno.test("a client that slept through its session is refused, and goes on with new answers", async () => {
  await withStoreBench(async (bench) => {
    const tree = makeTree(makeData(3));
    const device = await bench.member();
    await device.put(...tree.all);
    bench.clock.shiftMs += STORE.sessionMs + 1;
    await bench.sessions.sweep();
    for (let run = 0; run < 2; run++) await bench.collect();
    await assert.rejects(device.commit(tree.root), /the session has ended/);
    assert.deepEqual(await bench.get(tree.data[0]), ["missing"]);
    device.sessionId = crypto.getRandomValues(new Uint8Array(16));
    await device.open();
    assert.deepEqual(await device.has(...tree.all), tree.all.map(() => false));
    await device.put(...tree.all);
    assert.equal(await device.commit(tree.root), 0);
    for (let run = 0; run < 2; run++) await bench.collect();
    await bench.check(...tree.all);
  });
});

Deno.test("what was condemned is taken back by PUT, by COMMIT, and by being reached", async () => {
  await withStoreBench(async (bench) => {
    const tree = makeTree(makeData(3));
    const device = await bench.member();
    await device.put(...tree.all);
    await device.close();
    assert.equal((await bench.collect()).condemned, 5);
    const later = await bench.member(); // in the next epoch: it protects nothing of the last one
    assert.deepEqual(await later.has(...tree.all), tree.all.map(() => false));
    await later.put(tree.data[0]);
    assert.deepEqual(await later.has(tree.data[0]), [true]);
    assert.equal(await later.commit(tree.root), 0); // takes back what it reaches
    await bench.collect();
    await bench.check(...tree.all);
    assert.deepEqual(await later.has(...tree.all), tree.all.map(() => true));
    bench.db.sql.run("UPDATE records SET condemned = 1"); // as after a fault: all of it is reached
    const { lifted, deleted } = await bench.collect();
    assert.deepEqual([lifted, deleted], [5, 0]);
  });
});

Deno.test("a commit may come at any step of a collection", async () => {
  for (let step = 0; step < 20; step++) {
    await withStoreBench(async (bench) => {
      const kept = makeTree(makeData(2));
      await backUp(bench, kept);
      const tree = makeTree(makeData(3));
      const early = await bench.member();
      await early.put(...tree.all);
      await early.close();
      await bench.collect(); // condemns
      const later = await bench.member();
      assert.deepEqual(await later.has(tree.root), [false]);
      let steps = 0;
      let missing: number | undefined;
      await bench.collect(async () => {
        if (steps++ === step) missing = await later.commit(tree.root);
      });
      missing ??= await later.commit(tree.root);
      if (missing > 0) {
        await later.put(...tree.all);
        assert.equal(await later.commit(tree.root), 0);
      }
      for (let run = 0; run < 2; run++) await bench.collect();
      await bench.check(...kept.all, ...tree.all);
    });
  }
});

Deno.test("a commit may come at any step of two runs that share their marks", async () => {
  let hasEnded = false;
  for (let step = 0; !hasEnded; step++) {
    await withStoreBench(async (bench) => {
      const kept = makeTree(makeData(2));
      await backUp(bench, kept);
      const [tree, dead] = [makeTree([...kept.data, ...makeData(3)]), makeTree(makeData(2))];
      const early = await bench.member();
      await early.put(...tree.all, ...dead.all);
      await early.close();
      let steps = 0;
      let missing: number | undefined;
      const commit = async () => {
        const later = await bench.member();
        missing = await later.commit(tree.root);
        if (missing > 0) {
          await later.put(...tree.all);
          assert.equal(await later.commit(tree.root), 0);
        }
        await later.close();
      };
      await bench.collectAll(async () => {
        if (steps++ === step) await commit();
      });
      hasEnded = steps <= step;
      if (missing === undefined) await commit();
      for (let run = 0; run < 2; run++) await bench.collectAll();
      await bench.check(...kept.all, ...tree.all);
      assert.deepEqual(await bench.get(...dead.all), dead.all.map(() => "missing"));
    });
  }
});

Deno.test("a second run counts what is reached, and not what another row had the number of", async () => {
  await withStoreBench(async (bench) => {
    const [tree, dead] = [makeTree(makeData(2)), makeTree(makeData(2))];
    await backUp(bench, tree);
    const device = await bench.member();
    await device.put(...dead.all);
    await device.close();
    const collection = bench.collection();
    assert.equal((await collection.run()).condemned, 4);
    assert.equal((await collection.run()).deleted, 4);
    const young = makeTree([...tree.data, ...makeData(1)]);
    await backUp(bench, young); // its rows have the numbers of those that were deleted
    const lost = makeData(2);
    const later = await bench.member();
    await later.put(...lost);
    await later.close();
    assert.equal((await collection.run()).condemned, 2);
    assert.equal((await collection.run()).deleted, 2);
    await bench.check(...tree.all, ...young.all);
    assert.deepEqual(await bench.get(...lost), ["missing", "missing"]);
  });
});

Deno.test("a commit that is overtaken by a deletion hears what is missing", async () => {
  await withStoreBench(async (bench) => {
    const tree = makeTree(makeData(3));
    const early = await bench.member();
    await early.put(...tree.all);
    await early.close();
    await bench.collect(); // condemns
    const later = await bench.member();
    const { reader } = bench.vault;
    const read = reader.read.bind(reader);
    let calls = 0;
    reader.read = async (...args) => {
      const record = await read(...args);
      if (++calls === 2) await bench.collect(); // the walk has seen root, segment, and not the data
      return record;
    };
    assert.equal(await later.commit(tree.root), 1);
    await later.put(...tree.all);
    assert.equal(await later.commit(tree.root), 0);
    await bench.check(...tree.all);
  });
});

Deno.test("a commit that is under way is waited for, also when its session is closed meanwhile", async () => {
  await withStoreBench(async (bench) => {
    const tree = makeTree(makeData(3));
    const device = await bench.member();
    await device.put(...tree.all);
    const append = bench.vault.journal.append.bind(bench.vault.journal);
    bench.vault.journal.append = async (...args) => {
      await device.close();
      for (let run = 0; run < 3; run++) await bench.collect();
      return await append(...args);
    };
    assert.equal(await device.commit(tree.root), 0);
    await bench.check(...tree.all);
  });
});

Deno.test("what was once complete is not believed to be so after something was condemned", async () => {
  await withStoreBench(async (bench) => {
    const tree = makeTree(makeData(3));
    const device = await bench.member();
    await device.put(...tree.all);
    assert.deepEqual(await device.has(tree.root), [true]); // noted as complete
    await device.close();
    await bench.collect();
    // As if a walk of before had noted it just now; the data alone stays condemned.
    bench.db.sql.run("UPDATE records SET condemned = NULL, complete = 1 WHERE type > 1");
    const later = await bench.member();
    assert.deepEqual(await later.has(tree.root, tree.segment), [false, false]);
  });
});

Deno.test("nothing goes while a snapshot has damage that hides what it needs", async () => {
  await withStoreBench(async (bench) => {
    const [tree, other] = [makeTree(makeData(3)), makeTree(makeData(3))];
    await backUp(bench, tree);
    const device = await bench.member();
    await device.put(...other.all);
    await device.close();
    await bench.collect();
    const row = (await bench.store.records.findRecord(bench.vault.number, tree.segment.id))!;
    const place = { id: tree.segment.id, pack: row.pack, offset: row.offset };
    await bench.store.records.markDamaged(bench.vault.number, [place]);
    const { blocked, deleted } = await bench.collect();
    assert.match(blocked!, /1 records that snapshots need are damaged/);
    assert.equal(deleted, 0);
    await bench.check(...tree.data, ...other.all);
    const healer = await bench.member();
    assert.deepEqual(await healer.has(tree.segment), [false]);
    await healer.put(tree.segment);
    await healer.close();
    assert.equal((await bench.collect()).deleted, 5);
    await bench.check(...tree.all);
  });
});

Deno.test("nothing goes while a record that a snapshot needs has no row, or has rotted unseen", async () => {
  for (const type of [RecordType.DATA, RecordType.SEGMENT, RecordType.ROOT]) {
    await withStoreBench(async (bench) => {
      const [tree, other] = [makeTree(makeData(3)), makeTree(makeData(3))];
      await backUp(bench, tree);
      const device = await bench.member();
      await device.put(...other.all);
      await device.close();
      await bench.collect(); // condemns
      bench.db.sql.run("DELETE FROM records WHERE type = ? AND condemned IS NULL", type);
      const { blocked, deleted } = await bench.collect();
      assert.match(blocked!, /[13] records that snapshots need are damaged or missing/);
      assert.equal(deleted, 0);
      await bench.check(...other.all);
    });
  }
  await withStoreBench(async (bench) => {
    const [tree, other] = [makeTree(makeData(3)), makeTree(makeData(3))];
    await backUp(bench, tree);
    const device = await bench.member();
    await device.put(...other.all);
    await device.close();
    const row = (await bench.store.records.findRecord(bench.vault.number, tree.segment.id))!;
    const path = join(bench.packsPath, bench.packNames[0]);
    const bytes = Deno.readFileSync(path);
    bytes[row.offset + row.size - 1] ^= 1;
    Deno.writeFileSync(path, bytes);
    for (let run = 0; run < 2; run++) {
      const { blocked, condemned } = await bench.collect();
      assert.match(blocked!, /1 records that snapshots need are damaged/);
      assert.equal(condemned, 0);
    }
  });
});

Deno.test("of very many links that each stand once, none is passed over", async () => {
  await withStoreBench(async (bench) => {
    const data = makeData(1300, 20); // looked up in three parts
    const segment = makeRecord(RecordType.SEGMENT, data);
    const root = makeRecord(RecordType.ROOT, [segment]);
    await backUp(bench, { all: [...data, segment, root], root });
    const { condemned, deleted, blocked } = await bench.collectAll();
    assert.deepEqual([condemned, deleted, blocked], [0, 0, undefined]);
    await bench.check(...data, segment, root);
  });
});

Deno.test("a wide and deep tree stays whole, and its neighbour goes", async () => {
  await withStoreBench(async (bench) => {
    const data = makeData(1300, 20);
    const segments = Array.from({ length: 40 }, (_, n) => {
      const own = makeData(1, 20);
      const links = [...data.slice(n, n + 512), ...own, ...data.slice(n + 512), own[0]];
      return { own, record: makeRecord(RecordType.SEGMENT, links) };
    });
    let top = makeRecord(RecordType.INDEX, segments.map(({ record }) => record));
    const indexes = [top];
    for (let level = 0; level < STORE.linkDepthMax - 4; level++) {
      indexes.push(top = makeRecord(RecordType.INDEX, [top, segments[level].record]));
    }
    const root = makeRecord(RecordType.ROOT, [top]);
    const below = segments.flatMap(({ own, record }) => [...own, record]);
    const all = [...data, ...below, ...indexes, root];
    await backUp(bench, { all, root });
    const dead = makeTree(makeData(700, 20));
    const device = await bench.member();
    await device.put(...dead.all);
    await device.close();
    const { deleted, blocked } = await bench.collectAll();
    assert.deepEqual([deleted, blocked], [dead.all.length, undefined]);
    await bench.check(...all);
  });
});

Deno.test("what an interrupted run has condemned is not deleted before an epoch is over", async () => {
  await withStoreBench(async (bench) => {
    const tree = makeTree(makeData(3));
    const device = await bench.member();
    await device.put(...tree.data);
    await device.close();
    const later = await bench.member();
    assert.deepEqual(await later.has(tree.data[0]), [true]);
    // Condemned, and left off before the epoch ended: the session is of the same epoch.
    bench.db.sql.run("UPDATE records SET condemned = (SELECT epoch FROM vaults)");
    for (let run = 0; run < 2; run++) assert.equal((await bench.collect()).deleted, 0);
    await later.close();
    assert.equal((await bench.collect()).deleted, 3);
  });
});

Deno.test("a pack that was left off at any point of its removal harms nothing", async () => {
  await withStoreBench(async (bench) => {
    const [kept, gone] = [makeTree(makeData(2)), makeTree(makeData(4))];
    await backUp(bench, kept);
    await backUp(bench, gone);
    const [, name] = bench.packNames;
    const path = join(bench.packsPath, name);
    const bytes = Deno.readFileSync(path);
    bench.db.sql.run(
      "DELETE FROM records WHERE pack = (SELECT number FROM packs WHERE name = ?)",
      name,
    );
    bench.db.sql.run("UPDATE packs SET state = 3 WHERE name = ?", name); // before the file was removed
    await bench.crash();
    assert.equal(bench.packNames.length, 1);
    await bench.check(...kept.all);
    Deno.writeFileSync(path, bytes); // and as if its row had gone before the file
    await bench.crash();
    await bench.check(...kept.all, ...gone.all); // adopted again
    assert.doesNotMatch(bench.logged, /damaged|gone/);
  });
});

Deno.test("records that are moved while they are read are found at their new place", async () => {
  await withStoreBench(async (bench) => {
    const kept = makeData(2);
    const gone = makeTree([...kept, ...makeData(30, 1000)]);
    await backUp(bench, gone);
    const tree = makeTree(kept);
    await backUp(bench, tree);
    await bench.forget(gone.root);
    await letHoldPass(bench);
    await bench.drop();
    await bench.collect();
    const rows = await bench.store.records.findRecords(
      bench.vault.number,
      kept.map(({ id }) => id),
    );
    const { recordsMoved } = await bench.collect();
    assert.equal(recordsMoved, 2);
    for (const [i, { id, bytes }] of kept.entries()) {
      assert.deepEqual(await bench.vault.reader.read(id, rows[i]!), bytes); // by a row of before
    }
    await bench.check(...tree.all);
    assert.doesNotMatch(bench.logged, /damaged/);
  });
});

Deno.test("an index of a week ago takes over what was moved and committed since", async () => {
  await withStoreBench(async (bench) => {
    const kept = makeData(2);
    const gone = makeTree([...kept, ...makeData(30, 1000)]);
    await backUp(bench, gone);
    bench.db.sql.run("VACUUM INTO ?", join(bench.packsPath, "..", "..", "old.db"));
    const tree = makeTree(kept);
    await backUp(bench, tree);
    await bench.forget(gone.root);
    await letHoldPass(bench);
    await bench.drop();
    for (let run = 0; run < 2; run++) await bench.collect();
    await bench.close();
    const folder = join(bench.packsPath, "..", "..");
    for (const suffix of ["-wal", "-shm"]) {
      try {
        Deno.removeSync(join(folder, `holdfast.db${suffix}`));
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    Deno.renameSync(join(folder, "old.db"), join(folder, "holdfast.db"));
    await bench.open();
    await bench.check(...tree.all);
    for (let run = 0; run < 3; run++) await bench.collect();
    await bench.check(...tree.all);
    const device = await bench.member();
    assert.deepEqual(await device.has(tree.root), [true]);
  });
});
