/** `holdfast completion SHELL`: what completes commands, options and the names of locks, made from the table of commands. */
import { print } from '../text.ts'
import type { Ending } from '../exit.ts'
import { usageError } from '../exit.ts'
import { clean } from '../../core/text.ts'
import type { Row } from '../options.ts'
import { rowsOf } from '../options.ts'
import type { AnyCommand, Given } from '../table.ts'
import { COMMANDS, PROGRAM, SHELLS } from '../table.ts'

const SCRIPTS: Record<(typeof SHELLS)[number], () => string> = { bash, zsh, fish }

export function completion({ words }: Given<object>): Promise<Ending> {
  const [word, ...more] = words
  const shell = SHELLS.find((each) => each === word)
  if (!shell || more.length > 0)
    throw usageError(
      `completion needs a shell: ${SHELLS.join(', ')}${word === undefined ? '' : `, not '${clean(words.join(' '))}'`}`,
    )
  print(1, SCRIPTS[shell]())
  return Promise.resolve({ code: 0 })
}

const ALL: readonly (readonly [name: string, command: AnyCommand])[] = Object.entries(COMMANDS)

/** `-w --wait`, of all of a command. */
function flags({ rows }: AnyCommand): string[] {
  return rows.flatMap(([name, { short }]) => [...(short ? [`-${short}`] : []), `--${name}`])
}

/** Behind these comes a value. */
function valued({ rows }: AnyCommand): Row[] {
  return rows.filter(([, row]) => 'value' in row)
}

function choicesOf([, row]: Row): readonly string[] {
  return ('choices' in row && row.choices) || []
}

/** `--wait|-w`, for a case of a shell. */
function pattern([name, { short }]: Row): string {
  return `--${name}${short ? `|-${short}` : ''}`
}

/** What comes first behind a command: names of locks, shells, or nothing, in the words of a shell. */
function firstOf({ completes }: AnyCommand, locks: string, shells: string): string {
  if (completes === 'lock') return locks
  return completes === 'shell' ? shells : ':'
}

/**
 * The words are taken from the line, for bash splits at colons, which URLs and names have. What it completes, it does from
 * the last colon on.
 */
function bash(): string {
  const cases = ALL.map(([name, command]) => {
    const values = valued(command).map((row) => {
      const choices = choicesOf(row)
      return `        ${pattern(row)}) ${choices.length > 0 ? `_holdfast_words ${choices.join(' ')}` : ':'}; return ;;`
    })
    return `    ${name})
      case "$prev" in
${[...values, `        *) ;;`].join('\n')}
      esac
      if [[ "$cur" == -* ]]; then _holdfast_words ${flags(command).join(' ')}${command.runs ? ' --' : ''}; return; fi
      ${firstOf(command, '_holdfast_locks', `_holdfast_words ${SHELLS.join(' ')}`)} ;;`
  })
  return `# Completes holdfast in bash: eval "$(holdfast completion bash)"
_holdfast_words() {
  local word
  for word in "$@"; do [[ "$word" == "$cur"* ]] && COMPREPLY+=("$word"); done
}

_holdfast_locks() {
  local name
  while IFS= read -r name; do
    [[ "$name" == "$cur"* ]] && COMPREPLY+=("$(printf %q "$name")")
  done < <("\${limit[@]}" holdfast ls -q "\${url[@]}" 2>/dev/null)
}

_holdfast() {
  local line="\${COMP_LINE:0:COMP_POINT}" words cur prev command i url=() limit=()
  # A coordinator that does not answer must not hold up the Tab key.
  command -v timeout > /dev/null && limit=(timeout 2)
  read -ra words <<< "$line"
  [[ "$line" == *[[:space:]] ]] && words+=('')
  cur="\${words[\${#words[@]}-1]}" prev="\${words[\${#words[@]}-2]}" command="\${words[1]}"
  COMPREPLY=()
  for ((i = 2; i < \${#words[@]} - 1; i++)); do
    case "\${words[i]}" in
      --)
        if declare -F _command_offset > /dev/null; then
          for ((i = 1; i < COMP_CWORD; i++)); do [[ "\${COMP_WORDS[i]}" == -- ]] && _command_offset $((i + 1)) && return; done
        fi
        COMPREPLY=($(compgen -c -- "$cur") $(compgen -f -- "$cur"))
        return ;;
      --url) url=(--url "\${words[i + 1]}") ;;
    esac
  done
  if ((\${#words[@]} == 2)); then
    _holdfast_words ${ALL.map(([name]) => name).join(' ')} ${rowsOf(PROGRAM)
      .map(([name]) => `--${name}`)
      .join(' ')}
    return
  fi
  case "$command" in
${cases.join('\n')}
  esac
  if [[ "$cur" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
    local behind="\${cur%"\${cur##*:}"}"
    COMPREPLY=("\${COMPREPLY[@]#"$behind"}")
  fi
}
complete -F _holdfast holdfast
`
}

function zsh(): string {
  const commands = ALL.map(([name, { summary }]) => `    ${quoted(`${name}:${summary}`)}`)
  const cases = ALL.map(([name, command]) => {
    const values = valued(command).map((row) => {
      const choices = choicesOf(row)
      return `        ${pattern(row)}) ${choices.length > 0 ? `compadd -- ${choices.join(' ')}` : ':'}; return ;;`
    })
    const options = command.rows.flatMap(([long, { short, help }]) => [
      quoted(`--${long}:${help}`),
      ...(short ? [quoted(`-${short}:${help}`)] : []),
    ])
    return `    ${name})
      case $words[CURRENT-1] in
${[...values, '        *) ;;'].join('\n')}
      esac
      if [[ $words[CURRENT] == -* ]]; then
        options=(${options.join(' ')})
        _describe option options
        return
      fi
      ${firstOf(command, 'compadd -- ${(f)"$($limit holdfast ls -q $url 2>/dev/null)"}', `compadd -- ${SHELLS.join(' ')}`)} ;;`
  })
  return `#compdef holdfast
# Completes holdfast in zsh: eval "$(holdfast completion zsh)", below compinit.
_holdfast() {
  local -a limit
  (( $+commands[timeout] )) && limit=(timeout 2)
  local -a commands options url
  local i
  commands=(
${commands.join('\n')}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  for ((i = 3; i < CURRENT; i++)); do
    case $words[i] in
      --)
        shift $i words
        ((CURRENT -= i))
        _normal
        return ;;
      --url) url=(--url $words[i+1]) ;;
    esac
  done
  case $words[2] in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _holdfast ]]; then _holdfast "$@"; else compdef _holdfast holdfast; fi
`
}

function fish(): string {
  const lines = ALL.flatMap(([name, command]) => {
    const here = `-n '__fish_seen_subcommand_from ${name}; and not contains -- -- (commandline -opc)'`
    const options = command.rows.map((row) => {
      const [long, { short, help }] = row
      const choices = choicesOf(row)
      const value = 'value' in row[1] ? ` -x${choices.length > 0 ? ` -a ${quoted(choices.join(' '))}` : ''}` : ''
      return `complete -c holdfast ${here} -l ${long}${short ? ` -s ${short}` : ''}${value} -d ${quoted(help)}`
    })
    const first = firstOf(command, '(__holdfast_locks)', SHELLS.join(' '))
    const behind = command.runs
      ? [`complete -c holdfast -n '__holdfast_runs' -a '(__fish_complete_subcommand --fcs-skip=(__holdfast_behind))'`]
      : []
    return [
      `complete -c holdfast -n __fish_use_subcommand -a ${name} -d ${quoted(command.summary)}`,
      ...options,
      ...(first === ':' ? [] : [`complete -c holdfast ${here} -a ${quoted(first)}`]),
      ...behind,
    ]
  })
  return `# Completes holdfast in fish: holdfast completion fish > ~/.config/fish/completions/holdfast.fish
function __holdfast_locks
    set -l words (commandline -opc)
    set -l at (contains -i -- --url $words)
    set -l url
    test -n "$at"; and set url --url $words[(math $at + 1)]
    set -l limit
    command -q timeout; and set limit timeout 2
    $limit holdfast ls -q $url 2>/dev/null
end
function __holdfast_behind
    contains -i -- -- (commandline -opc)
end
function __holdfast_runs
    contains -- -- (commandline -opc)
end
complete -c holdfast -f
complete -c holdfast -n __fish_use_subcommand -l help -s h -d 'print this'
complete -c holdfast -n __fish_use_subcommand -l version -s V -d 'print the version'
${[...new Set(lines)].join('\n')}
`
}

/** For any of these shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}
