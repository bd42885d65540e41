/** What a restore does when jobs are done: in the order in which it was asked for, as soon as nothing before it is open. */

interface Waiting {
  afterJob: number;
  act: () => void;
}

export class AfterJobs {
  readonly #waiting: Waiting[] = [];
  /** Jobs that are done before one with a smaller number. */
  readonly #early = new Set<number>();
  #doneUpTo = 0;

  /** Does something when all jobs up to a number are done. Numbers never fall. It must not throw. */
  add(afterJob: number, act: () => void): void {
    this.#waiting.push({ afterJob, act });
    this.#run();
  }

  /** Jobs count up from 1 and may be done in any order. */
  jobDone(number: number): void {
    this.#early.add(number);
    while (this.#early.delete(this.#doneUpTo + 1)) this.#doneUpTo++;
    this.#run();
  }

  #run(): void {
    let count = 0;
    for (const { afterJob, act } of this.#waiting) {
      if (afterJob > this.#doneUpTo) break;
      act();
      count++;
    }
    this.#waiting.splice(0, count);
  }
}
