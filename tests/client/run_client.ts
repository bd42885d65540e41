/** Runs the client as its users do: as a program of its own. */

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

const CLIENT = new URL("../../client.ts", import.meta.url).pathname;
const PERMISSIONS = ["--allow-net", "--allow-read", "--allow-write"];

/**
 * Runs the client to its end.
 *
 * @param cwd where; so that no profile of the machine's user is met
 */
export async function runClient(
  args: string[],
  { cwd, permissions = PERMISSIONS, stdin, env = {} }: {
    cwd: string;
    permissions?: string[];
    stdin?: string;
    env?: Record<string, string>;
  },
): Promise<Ran> {
  const child = startClient(args, { cwd, permissions, env });
  const writer = child.stdin.getWriter();
  if (stdin !== undefined) await writer.write(new TextEncoder().encode(stdin));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Starts it. `HOLDFAST_CLIENT` names an executable to run instead. */
export function startClient(
  args: string[],
  { cwd, permissions = PERMISSIONS, env = {} }: {
    cwd: string;
    permissions?: string[];
    env?: Record<string, string>;
  },
): Deno.ChildProcess {
  const executable = Deno.env.get("HOLDFAST_CLIENT");
  const command = executable ?? Deno.execPath();
  const run = ["run", "--no-prompt", "--quiet", ...permissions, CLIENT];
  return new Deno.Command(command, {
    args: executable === undefined ? [...run, ...args] : args,
    cwd,
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}
