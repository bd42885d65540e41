import { CLASSES } from "./classes.ts";
import { DISK_ERRORS } from "./disk_errors.ts";
import { testClass } from "./short_run.ts";
import { TWO_YEARS } from "./two_years.ts";

// Those of the disk wait for long, and two years are long: they are in files of their own.
for (const one of CLASSES) {
  if (one !== DISK_ERRORS && one !== TWO_YEARS) testClass(one);
}
