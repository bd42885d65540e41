/**
 * What both programs share at the top: a table of commands, help, and errors turned into text and an exit code. The
 * entrypoints hold the tables and end the process.
 */
import { describeError, ExitCode, HoldfastError, UsageError } from "./errors.ts";
import { PROGRAM_VERSION } from "./version.ts";

export interface Command {
  /** One line for the list of commands. */
  summary: string;
  /** All of `--help`. */
  help: string;
  /** Does the work. Returns the exit code. */
  run(args: string[]): Promise<number>;
}

/** A command that is loaded when it is run, so that the program starts fast. */
export interface LazyCommand {
  summary: string;
  load: () => Promise<Command>;
}

export interface Program {
  name: string;
  /** What stands above the list of commands in `--help`. */
  intro: string;
  /** What stands below it. */
  outro: string;
  commands: Record<string, Command | LazyCommand>;
  /** What runs when the first argument is a flag or missing; undefined asks for a command. */
  defaultCommand: (args: string[]) => string | undefined;
}

export const EXIT_CODE_HELP = `Exit codes:
  0  done                          4  refused (permission, unknown device, bad pin)
  1  failed                        5  damaged data found
  2  usage                         6  server not reachable
  3  done, but some files were     130  interrupted
     skipped or could not be read`;

/** Runs the command that the arguments name, and says on standard error what went wrong. */
export async function runProgram(program: Program, args: string[]): Promise<number> {
  try {
    return await dispatch(program, args);
  } catch (error) {
    return reportError(error);
  }
}

/** Writes an error and its hint for people, and returns its exit code. */
export function reportError(error: unknown): number {
  printError(`error: ${describeError(error)}`);
  if (error instanceof HoldfastError) {
    if (error.hint !== undefined) printError(`hint: ${error.hint}`);
    return error.exitCode;
  }
  if (error instanceof Deno.errors.NotCapable) {
    printError("hint: run with the permission that is named above");
    return ExitCode.REFUSED;
  }
  return ExitCode.FAILED;
}

/** A line on standard output. That nobody reads it is not an error. */
export function print(line: string): void {
  writeLine(Deno.stdout, line);
}

/** A line on standard error. */
export function printError(line: string): void {
  writeLine(Deno.stderr, line);
}

async function dispatch(program: Program, args: string[]): Promise<number> {
  const [first, ...rest] = args;
  if (first === "--version") {
    print(`${program.name} ${PROGRAM_VERSION}`);
    return ExitCode.DONE;
  }
  if (first === "--help" || first === "-h" || first === "help") {
    print(rest.length === 0 ? formatHelp(program) : (await findCommand(program, rest[0])).help);
    return ExitCode.DONE;
  }
  const isNamed = first !== undefined && !first.startsWith("-");
  const name = isNamed ? first : program.defaultCommand(args);
  if (name === undefined) {
    printError(formatHelp(program));
    return ExitCode.USAGE;
  }
  const command = await findCommand(program, name);
  const commandArgs = isNamed ? rest : args;
  if (commandArgs.includes("--help") || commandArgs.includes("-h")) {
    print(command.help);
    return ExitCode.DONE;
  }
  return await command.run(commandArgs);
}

async function findCommand(program: Program, name: string): Promise<Command> {
  if (Object.hasOwn(program.commands, name)) {
    const command = program.commands[name];
    return "load" in command ? await command.load() : command;
  }
  throw new UsageError(`Unknown command "${name}"`, {
    hint: `${program.name} --help lists the commands`,
  });
}

function formatHelp(program: Program): string {
  const names = Object.keys(program.commands);
  const width = Math.max(...names.map((name) => name.length));
  const list = names.map((name) => `  ${name.padEnd(width)}  ${program.commands[name].summary}`);
  return [program.intro, "", "Commands:", ...list, "", program.outro, "", EXIT_CODE_HELP].join(
    "\n",
  );
}

function writeLine(stream: { writeSync(bytes: Uint8Array): number }, line: string): void {
  const bytes = new TextEncoder().encode(line + "\n");
  try {
    for (let written = 0; written < bytes.length;) {
      written += stream.writeSync(bytes.subarray(written));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
