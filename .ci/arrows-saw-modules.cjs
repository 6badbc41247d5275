// Reads dependency-cruiser's JSON: fails on any violation, and when it saw no module at all
// (an incompatible compiler makes it report success over nothing).
let text = ''
process.stdin.on('data', (chunk) => {
  text += chunk
})
process.stdin.on('end', () => {
  const { summary } = JSON.parse(text)
  for (const { rule, from, to } of summary.violations) {
    console.error(`${rule.severity} ${rule.name}: ${from} -> ${to}`)
  }
  console.log(`arrows: ${summary.totalCruised} modules, ${summary.violations.length} violations`)
  process.exit(summary.totalCruised > 0 && summary.violations.length === 0 ? 0 : 1)
})
