// What package.json and its neighbours say, as `name value` lines; a value is one line. Run by whichever Node.js the
// build image has.
'use strict';
const fs = require('fs');
const { createRequire } = require('module');

const one = (value) => (typeof value === 'string' ? value.replace(/[\r\n]+/g, ' ').trim() : '');
const say = (name, value) => process.stdout.write(`${name} ${value}\n`);

function refuse(what, hint) {
  say('wrong', what);
  say('hint', hint);
  process.exit(0);
}

function read(path) {
  try {
    return JSON.parse(fs.readFileSync(path, 'utf8').replace(/^\uFEFF/, ''));
  } catch (error) {
    refuse(`${path} is not JSON: ${one(error.message)}`, `Correct ${path}; \`npm pkg get name\` checks it.`);
  }
}

const mine = read('package.json');
if (mine === null || typeof mine !== 'object' || Array.isArray(mine)) {
  refuse('package.json is not an object', 'Run `npm init` for one.');
}
const scripts = mine.scripts && typeof mine.scripts === 'object' ? mine.scripts : {};
const entries = (key) => (mine[key] && typeof mine[key] === 'object' ? Object.values(mine[key]) : []);
const lock = ['npm-shrinkwrap.json', 'package-lock.json'].find((name) => fs.existsSync(name)) || '';
const locked = lock ? Object.values(read(lock).packages || {}) : [];
const start = one(scripts.start) || (fs.existsSync('server.js') ? 'node server.js' : '');

say('start', start);
say('build', one(scripts.build) ? 'yes' : '');
say('lock', lock);
say('packages', entries('dependencies').length + entries('optionalDependencies').length);
say('dev', entries('devDependencies').length);
// A package that is a link to a folder of the repository cannot move into a layer.
const local = [...entries('dependencies'), ...entries('devDependencies'), ...entries('optionalDependencies')];
const links = mine.workspaces || locked.some((p) => p && p.link) || local.some((v) => /^(file|link|workspace):|^\.{0,2}\//.test(v) && !/\.tgz$/.test(v));
say('links', links ? 'yes' : '');

// Which Node.js is asked for, the first that says something.
const firstLine = (path) => {
  try {
    return fs.readFileSync(path, 'utf8').slice(0, 4096).split(/\r?\n/).map((l) => l.trim()).find((l) => l && !l.startsWith('#')) || '';
  } catch {
    return '';
  }
};
const template = /^type:\s*['"]?node(\d+)['"]?\s*(#.*)?$/m.exec(fs.existsSync('service.template') ? fs.readFileSync('service.template', 'utf8').slice(0, 65536) : '');
const wishes = [
  ['service.template', template ? template[1] : ''],
  ['.nvmrc', firstLine('.nvmrc')],
  ['.node-version', firstLine('.node-version')],
  ['engines in package.json', one((mine.engines || {}).node)],
];
const [source, asked] = wishes.find(([, value]) => value) || ['', ''];
// `node` and `lts/*` mean any that is maintained: the image's.
const range = /^(node|stable|latest|current|lts(\/.*)?|lts-.*)$/i.test(asked) ? '' : asked.replace(/^v(?=\d)/, '');
say('source', range ? source : '');
say('range', range);
if (range) {
  const semver = createRequire(fs.realpathSync(process.argv[2]))('semver');
  if (!semver.validRange(range)) {
    refuse(`${source} asks for Node.js '${range}', which is no version`, 'Write a version such as 20 or >=18.');
  }
  say('fits', semver.satisfies(process.version, range) ? 'yes' : '');
  if (process.argv[3]) {
    const all = JSON.parse(fs.readFileSync(process.argv[3], 'utf8') || '[]');
    const versions = (Array.isArray(all) ? all : [all]).filter((v) => !semver.prerelease(v));
    say('best', semver.maxSatisfying(versions, range) || '');
    say('known', semver.sort(versions.slice()).filter((v, i, s) => i + 1 === s.length || semver.major(s[i + 1]) !== semver.major(v)).slice(-5).join(' '));
  }
}
