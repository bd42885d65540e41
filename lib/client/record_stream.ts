/**
 * One GET or READ (docs/protocol_v4.md, "Restore"): many ids go out, and their records come back in the order of the server's
 * disk. If the connection is lost in between, only what has not come is asked for again.
 */
import {
  AnswerCode,
  decodeRecordAnswer,
  encodeIds,
  type RecordAnswer,
  RequestCode,
} from "../protocol_v4.ts";
import type { Answer, WireRequest } from "./wire_v4.ts";

/** Takes a record as it came: its id has not been compared with its bytes. */
export type OnRecord = (answer: RecordAnswer) => void | Promise<void>;

export class RecordStream implements WireRequest {
  readonly code: typeof RequestCode.GET | typeof RequestCode.READ;
  readonly purpose = "get records";
  /** When every record has been taken. */
  readonly done: Promise<void>;
  readonly #ids: Uint8Array[];
  readonly #onRecord: OnRecord;
  readonly #open: Set<number>;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  /** Places in `ids` of the ids that the newest request names. */
  #asked: number[] = [];
  #hasFailed = false;

  /** @param code READ to get them without the server's look at them */
  constructor(code: RecordStream["code"], ids: Uint8Array[], onRecord: OnRecord) {
    this.code = code;
    this.#ids = ids;
    this.#onRecord = onRecord;
    this.#open = new Set(ids.keys());
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.done = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  encode(): Uint8Array[] | undefined {
    if (this.#hasFailed || this.#open.size === 0) return undefined;
    this.#asked = [...this.#open];
    return [encodeIds(this.#asked.map((index) => this.#ids[index]))];
  }

  async take({ code, hasMore, payload }: Answer): Promise<void> {
    if (code !== AnswerCode.RECORD) throw new RangeError(`answer ${code}`);
    const answer = decodeRecordAnswer(payload);
    const index = this.#asked[answer.index];
    if (index === undefined || !this.#open.delete(index)) {
      throw new RangeError("a record that was not asked for");
    }
    if (hasMore !== this.#open.size > 0) throw new RangeError("wrong number of records");
    if (this.#hasFailed) return; // the rest of the stream has to be read all the same
    try {
      await this.#onRecord({ ...answer, index });
      if (this.#open.size === 0) this.#resolve();
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    this.#hasFailed = true;
    this.#reject(error);
  }
}
