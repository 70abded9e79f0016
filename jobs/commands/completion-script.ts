// Owns the scripts that `millrace completion` prints. They hold no names: the command is asked at each word, so they
// never grow old.

import type { SHELLS } from '#jobs/commands/command-table.ts';

// Where nothing is offered `-o default` completes files.
const BASH = `# millrace completion for bash: source <(millrace completion bash)
_millrace() {
  local IFS=$'\\n'
  COMPREPLY=($("\${COMP_WORDS[0]}" --complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _millrace millrace
`;

const ZSH = `#compdef millrace
# millrace completion for zsh: source <(millrace completion zsh), behind compinit
_millrace() {
  local -a offered
  offered=("\${(@f)$("\${words[1]}" --complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  offered=(\${offered:#})
  if (( \${#offered} )); then compadd -- "\${offered[@]}"; else _files; fi
}
compdef _millrace millrace
`;

export function completionScript(shell: (typeof SHELLS)[number]): string {
  return shell === 'bash' ? BASH : ZSH;
}
