/** The command line. */
console.error('usage: shootdown <check | replay | explore | bench>');
process.exitCode = 2;
