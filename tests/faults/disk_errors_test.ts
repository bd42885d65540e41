import { DISK_ERRORS } from "./disk_errors.ts";
import { testClass } from "./short_run.ts";

testClass(DISK_ERRORS);
