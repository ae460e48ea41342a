// Decides the requests of standard input with @cloud-copilot/iam-simulate: a JSON array in, one of results out.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const { runSimulation } = createRequire(`${process.argv[2]}/`)('@cloud-copilot/iam-simulate')
const results = []
for (const simulation of JSON.parse(readFileSync(0, 'utf8'))) {
  const answer = await runSimulation(simulation, {})
  results.push(answer.resultType === 'error' ? { errors: answer.errors } : { result: answer.overallResult ?? answer.result, ignored: answer.ignoredContextKeys })
}
process.stdout.write(JSON.stringify(results))
