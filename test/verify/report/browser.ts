/** A real browser without a window, driven over a pipe: what a page shows, and what a hand does to it. */
import type { ChildProcess } from 'node:child_process'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { vi } from 'vitest'

const PROGRAM = 'chromium'

export const MISSING = `needs ${PROGRAM}: apt-get install ${PROGRAM}`

export function hasBrowser(): boolean {
  return spawnSync(PROGRAM, ['--version'], { stdio: 'ignore' }).status === 0
}

export interface Sight {
  readonly width: number
  readonly height?: number
  /** Default true. */
  readonly scripts?: boolean
  readonly dark?: boolean
}

interface Message {
  readonly id?: number
  readonly sessionId?: string
  readonly method?: string
  readonly params?: Readonly<Record<string, unknown>>
  readonly result?: unknown
  readonly error?: { readonly message: string }
}

type Listener = (method: string, params: Readonly<Record<string, unknown>>) => void

export class Browser {
  readonly #process: ChildProcess
  readonly #folder: string
  readonly #orders: Writable
  readonly #waiting = new Map<number, (message: Message) => void>()
  readonly #sessions = new Map<string, Listener>()
  #count = 0
  #left = ''

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'holdfast-browser-'))
    const quiet = ['--disable-background-networking', '--disable-component-update', '--no-first-run']
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', ...quiet]
    this.#process = spawn(
      PROGRAM,
      [...flags, '--remote-debugging-pipe', `--user-data-dir=${this.#folder}`, 'about:blank'],
      // It has the pipes as its files 3 and 4. A group of its own, for it has many processes.
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true },
    )
    const [, , , orders, answers] = this.#process.stdio
    this.#orders = orders as Writable
    const reading = answers as Readable
    reading.setEncoding('utf8')
    reading.on('data', (text: string) => this.#hear(text))
  }

  async order<T = unknown>(method: string, params: object = {}, sessionId?: string): Promise<T> {
    this.#count += 1
    const id = this.#count
    const answered = new Promise<Message>((resolve) => this.#waiting.set(id, resolve))
    this.#orders.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    const { error, result } = await answered
    if (error) throw new Error(`${method}: ${error.message}`)
    return result as T
  }

  /** Show a file. */
  async open(path: string, sight: Sight): Promise<Page> {
    const { targetId } = await this.order<{ targetId: string }>('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await this.order<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true })
    const page = new Page((method, params) => this.order(method, params, sessionId))
    this.#sessions.set(sessionId, (method, params) => page.hear(method, params))
    await page.open(`file://${path}`, sight)
    return page
  }

  async end(): Promise<void> {
    const ended = once(this.#process, 'close')
    process.kill(-this.#process.pid!, 'SIGKILL')
    await ended
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 10 })
  }

  #hear(text: string): void {
    const messages = (this.#left + text).split('\0')
    this.#left = messages.pop()!
    for (const each of messages) {
      const message = JSON.parse(each) as Message
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message)
      else if (message.method !== undefined && message.sessionId !== undefined)
        this.#sessions.get(message.sessionId)?.(message.method, message.params ?? {})
    }
  }
}

export class Page {
  /** What a console or a policy complained about, and what was asked of the network. */
  readonly problems: string[] = []
  readonly #order: (method: string, params?: object) => Promise<unknown>
  #loaded = false

  constructor(order: (method: string, params?: object) => Promise<unknown>) {
    this.#order = order
  }

  async open(url: string, { width, height = 900, scripts = true, dark = false }: Sight): Promise<void> {
    for (const domain of ['Page', 'Runtime', 'Log', 'Network', 'Audits']) await this.#order(`${domain}.enable`)
    await this.#order('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false })
    const features = [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }]
    await this.#order('Emulation.setEmulatedMedia', { features })
    if (!scripts) await this.#order('Emulation.setScriptExecutionDisabled', { value: true })
    await this.#order('Page.navigate', { url })
    await vi.waitUntil(() => this.#loaded, { timeout: 60_000 })
  }

  hear(method: string, params: Readonly<Record<string, unknown>>): void {
    switch (method) {
      case 'Page.loadEventFired':
        this.#loaded = true
        break
      case 'Runtime.consoleAPICalled':
      case 'Runtime.exceptionThrown':
      case 'Log.entryAdded':
      case 'Audits.issueAdded':
        this.problems.push(`${method}: ${JSON.stringify(params)}`)
        break
      case 'Network.requestWillBeSent': {
        const { url } = params['request'] as { readonly url: string }
        if (!url.startsWith('file:') && !url.startsWith('data:')) this.problems.push(`request: ${url}`)
        break
      }
    }
  }

  /** What an expression of the page comes to. Works also where scripts of the page may not run. */
  async ask<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = (await this.#order('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    })) as { readonly result: { readonly value: T }; readonly exceptionDetails?: unknown }
    if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`)
    return result.value
  }

  /** Until an expression of the page is true. */
  async until(expression: string): Promise<void> {
    await vi.waitUntil(() => this.ask<boolean>(expression), { timeout: 30_000 })
  }

  async key(key: string): Promise<void> {
    const text = key.length === 1 ? { text: key } : {}
    const code = { Tab: 9, Enter: 13, Escape: 27, Home: 36, ArrowLeft: 37, ArrowRight: 39 }[key]
    const common = { key, code: key, ...(code === undefined ? {} : { windowsVirtualKeyCode: code }) }
    await this.#order('Input.dispatchKeyEvent', { type: 'keyDown', ...common, ...text })
    await this.#order('Input.dispatchKeyEvent', { type: 'keyUp', ...common })
  }

  /** Press here, move there, and let go. */
  async drag(from: Spot, to: Spot = from): Promise<void> {
    const button = { button: 'left', buttons: 1, clickCount: 1 }
    await this.#mouse('mouseMoved', from)
    await this.#mouse('mousePressed', from, button)
    if (to !== from) await this.#mouse('mouseMoved', to, button)
    await this.#mouse('mouseReleased', to, { ...button, buttons: 0 })
  }

  /** @param holding Ctrl is 2 */
  async wheel(at: Spot, deltaY: number, holding = 0): Promise<void> {
    await this.#mouse('mouseWheel', at, { deltaX: 0, deltaY, modifiers: holding })
  }

  async screenshot(whole = false): Promise<Buffer> {
    const { data } = (await this.#order('Page.captureScreenshot', { captureBeyondViewport: whole })) as { data: string }
    return Buffer.from(data, 'base64')
  }

  async #mouse(type: string, spot: Spot, more: object = {}): Promise<void> {
    await this.#order('Input.dispatchMouseEvent', { type, ...spot, ...more })
  }
}

export interface Spot {
  readonly x: number
  readonly y: number
}
