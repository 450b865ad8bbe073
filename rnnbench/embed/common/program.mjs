// The command line that the programs share: what is understood, and how an error is told.

export async function program(usage, main) {
  const words = process.argv.slice(2);
  const known =
    words[0] === "--verify"
      ? words.length <= 2
      : words.length === 2 || (words.length === 3 && words[2] === "--stream");
  if (!known) {
    console.error(usage);
    process.exitCode = 2;
  } else {
    try {
      process.exitCode = await main(words);
    } catch (error) {
      console.error(`error: ${String(error.message ?? error).split("\n")[0]}`);
      process.exitCode = 2;
    }
  }
}
