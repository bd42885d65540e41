/** The version of both programs. */
export const PROGRAM_VERSION = "0.1.0";
