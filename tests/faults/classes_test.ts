import { CLASSES } from "./classes.ts";
import { DISK_ERRORS } from "./disk_errors.ts";
import { testClass } from "./short_run.ts";

// Those of the disk wait for long, and are in a file of their own.
for (const one of CLASSES) {
  if (one !== DISK_ERRORS) testClass(one);
}
