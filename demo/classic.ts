/** The classic protocol: a client registers and sends a file, and logs in to send it again. */
import { join } from "node:path";
import { formatByteSize } from "../lib/flags.ts";
import { DemoServer, listFiles, makeContent, runProgram, sameBytes, say } from "./stage.ts";

const FILE_BYTES = 8 * 1024 * 1024;

/** Everything happens in this folder. Throws if anything is not as it must be. */
export async function demoClassic(folder: string): Promise<void> {
  const dataPath = join(folder, "server-data");
  const clientPath = join(folder, "client");
  Deno.mkdirSync(clientPath, { recursive: true });
  say("CLASSIC: a server and a client of the old protocol. The server can read what it stores.");
  const server = new DemoServer([
    "--classic",
    "127.0.0.1:0",
    "--listen",
    "off",
    "--data",
    dataPath,
  ]);
  try {
    const { classic } = await server.addresses();
    const content = makeContent(FILE_BYTES);
    Deno.writeFileSync(join(clientPath, "holiday.tar"), content);
    Deno.writeTextFileSync(join(clientPath, "transfer.info"), `${classic}\nalice\nholiday.tar`);
    say(`the client finds transfer.info: ${classic}, alice, holiday.tar`);
    await runProgram("client", [], { cwd: clientPath });
    say("once more: it logs in with the identity in me.info and priv.key");
    await runProgram("client", [], { cwd: clientPath });
    const [stored] = listFiles(join(dataPath, "files"));
    if (!sameBytes(content, Deno.readFileSync(join(dataPath, "files", stored)))) {
      throw new Error(`${stored} is not what was sent`);
    }
    say(`stored as files/${stored}: ${formatByteSize(FILE_BYTES)}, identical to the original`);
  } finally {
    await server.stop();
  }
}
