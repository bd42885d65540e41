/** Where the running program lies: some settings files are looked for beside it. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** The current folder, then the folder of the executable or of the script. */
export function settingsFolders(): string[] {
  const folders = [Deno.cwd()];
  const own = Deno.build.standalone ? Deno.execPath() : mainModulePath();
  if (own !== undefined && dirname(own) !== folders[0]) folders.push(dirname(own));
  return folders;
}

function mainModulePath(): string | undefined {
  return Deno.mainModule.startsWith("file:") ? fileURLToPath(Deno.mainModule) : undefined;
}
