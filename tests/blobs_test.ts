import { join } from "node:path";
import { FolderBlobs } from "../lib/blobs.ts";
import { testBlobStore } from "./blobs_suite.ts";
import { withFolder } from "./folder.ts";

testBlobStore("FolderBlobs", (test) =>
  withFolder(async (folder) => {
    await test(await FolderBlobs.open(join(folder, "packs")));
  }));

testBlobStore("FolderBlobs on a slow disk", (test) =>
  withFolder(async (folder) => {
    await test(await FolderBlobs.open(join(folder, "packs"), { slowWriteMs: -1 }));
  }));
