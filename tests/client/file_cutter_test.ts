import assert from "node:assert/strict";
import fc from "fast-check";
import { ContentReader, HOLE_BLOCK_BYTES } from "../../lib/client/content_reader.ts";
import { CUT_BUFFER_BYTES_MIN, FileCutter } from "../../lib/client/file_cutter.ts";
import { FILE_CHUNKS } from "../../lib/vault/chunker.ts";
import { checkPropertyAsync } from "../property.ts";
