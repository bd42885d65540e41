import { testClass } from "./short_run.ts";
import { TWO_YEARS, TwoYears } from "./two_years.ts";

// Two weeks of two devices.
testClass({
  ...TWO_YEARS,
  begin: (folder, random) => TwoYears.begin(folder, { random, devices: 2 }),
});
