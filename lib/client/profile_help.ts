/** What every command of a vault says of its profile. Apart from the flags, for the one that begins to work before it has read them. */
export const PROFILE_HELP =
  `  --profile DIR    folder of the device's keys (./.holdfast if it is there, else
                   $HOME/.holdfast where the environment may be read)
  --passphrase-file FILE
                   file with the passphrase of the profile, if it is under one; without it
                   the passphrase is asked for`;
