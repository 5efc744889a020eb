// The packages of one node_modules folder, for the bill of materials.
'use strict';
const fs = require('fs');
const path = require('path');

const lock = JSON.parse(fs.readFileSync(path.join(process.argv[2], '.package-lock.json'), 'utf8'));
for (const [where, entry] of Object.entries(lock.packages || {})) {
  const name = entry.name || where.split('node_modules/').pop();
  if (name && entry.version && !entry.link) {
    process.stdout.write(`npm\t${name}\t${entry.version}\n`);
  }
}
