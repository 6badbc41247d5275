// The arrows: who may import whom. ARCHITECTURE.md lists the same arrows for people.
// Lower layers never import higher ones; iscsi and scsi never meet; the three programs
// (management, targets, initiator-shim) never import one another.
const layers = {
  'src/base': [],
  'src/ports': ['src/base'],
  'src/wire': ['src/base', 'src/ports'],
  'src/iscsi': ['src/base', 'src/ports', 'src/wire'],
  'src/scsi': ['src/base', 'src/ports', 'src/wire'],
  'src/volume': ['src/base', 'src/ports', 'src/wire', 'src/iscsi', 'src/scsi'],
  'src/control': ['src/base', 'src/ports', 'src/scsi', 'src/volume'],
  'src/portal': ['src/base', 'src/ports', 'src/wire', 'src/iscsi', 'src/scsi', 'src/volume'],
  'src/leg': ['src/base', 'src/ports', 'src/wire', 'src/iscsi', 'src/scsi', 'src/volume'],
  'src/adapters': ['src/base', 'src/ports'],
}
const shared = Object.keys(layers)
const programs = ['src/management', 'targets', 'initiator-shim']
for (const program of programs) {
  layers[program] = shared.filter((layer) => layer !== 'src/adapters')
}
layers['src/cli'] = [...shared, ...programs]

const forbidden = Object.entries(layers).map(([from, allowed]) => ({
  name: `arrows: ${from}`,
  severity: 'error',
  from: { path: `^${from}/` },
  to: {
    path: '^(src|targets|initiator-shim|test|bench)/',
    pathNot: [from, ...allowed].map((layer) => `^${layer}/`),
  },
}))

module.exports = {
  forbidden: [
    ...forbidden,
    { name: 'no cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'only adapters and cli know Node',
      severity: 'error',
      from: { path: '^(src|targets|initiator-shim)/', pathNot: '^src/(adapters|cli)/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?assert$' },
    },
    {
      name: 'packages live in adapters, cli and control',
      severity: 'error',
      from: { path: '^(src|targets|initiator-shim)/', pathNot: '^src/(adapters|cli|control)/' },
      to: { dependencyTypes: ['npm'] },
    },
    {
      name: 'nothing unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types'] },
  },
}
