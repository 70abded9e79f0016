// Owns the OpenAPI 3.1 document of the admin API, made of the table of routes: what stands there is what is served.

import { COMMON_ERRORS, statusOf } from '#runtime/http/refusal.ts';
import type { Route } from '#runtime/http/route.ts';
import type { Schema } from '#runtime/http/schema.ts';
import { ref, SCHEMAS } from '#runtime/http/view-schemas.ts';
import type { ErrorCode } from '#runtime/std/errors.ts';

export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: Readonly<Record<string, unknown>>;
  readonly security: readonly unknown[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly securitySchemes: Readonly<Record<string, unknown>>;
  };
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly unknown[];
  readonly requestBody?: unknown;
  readonly responses: Readonly<Record<string, Response>>;
  readonly security?: readonly unknown[];
}

interface Response {
  readonly description: string;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content: Readonly<Record<string, { readonly schema: Schema }>>;
}

const DESCRIPTION = `What a process of Millrace tells about itself and its jobs. Every answer but that of /metrics is JSON;
every refusal is {"error":{"code","message","remedy"}}, with the codes of the table of errors. HEAD is answered like GET. A change is answered at once, with a request that is asked for its end.`;

/** `version` is that of Millrace. */
export function openApiDocument(routes: readonly Route[], version: string): OpenApiDocument {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace admin API',
      version,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    // Without a token in the configuration none is needed.
    security: [{}, { bearer: [] }],
    paths: {
      ...pathsOf(routes),
      '/openapi.json': { get: operation(OPENAPI) },
    },
    components: { schemas: SCHEMAS, securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
  };
}

function pathsOf(routes: readonly Route[]): Record<string, Record<string, Operation>> {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(route);
  return paths;
}

const OPENAPI: Omit<Route, 'answers' | 'ask'> = {
  method: 'GET',
  path: '/openapi.json',
  id: 'openapi',
  summary: 'This document',
  parameters: [],
  errors: [],
};

function operation(route: Omit<Route, 'answers' | 'ask'> & Partial<Pick<Route, 'answers'>>): Operation {
  const responses: Record<string, Response> = {};
  for (const [status, codes] of errorsByStatus([...COMMON_ERRORS, ...route.errors])) {
    responses[status] = json(codes.map((code) => `\`${code}\``).join(', '), ref('Error'));
  }
  const { answers } = route;
  if (answers === undefined) responses['200'] = json(route.summary, { type: 'object' });
  for (const [status, { description, schema }] of Object.entries(answers ?? {})) {
    const error = responses[status];
    if (schema === 'text')
      responses[status] = { description, content: { 'text/plain': { schema: { type: 'string' } } } };
    else if (error === undefined) responses[status] = json(description, ref(schema));
    else responses[status] = json(`${description}; ${error.description}`, { anyOf: [ref(schema), ref('Error')] });
  }
  if (route.headers !== undefined) responses['200'] = { ...responses['200'], headers: headers(route.headers) };
  return {
    operationId: route.id,
    summary: route.summary,
    parameters: route.parameters.map((parameter) => ({ ...parameter, required: parameter.in === 'path' })),
    ...(route.body !== undefined && {
      requestBody: { required: true, content: { 'application/json': { schema: ref(route.body) } } },
    }),
    responses,
    ...(route.open && { security: [] }),
  };
}

function json(description: string, schema: Schema): Response {
  return { description, content: { 'application/json': { schema } } };
}

function headers(names: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(names).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
  );
}

function errorsByStatus(codes: readonly ErrorCode[]): Map<string, ErrorCode[]> {
  const byStatus = new Map<string, ErrorCode[]>();
  for (const code of codes) {
    const status = String(statusOf(code));
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return byStatus;
}
