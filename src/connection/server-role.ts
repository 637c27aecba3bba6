import type pg from 'pg';
import type { ServerRole } from './choose-host.ts';

/** Listens to what the server reports as the session begins (14 and later); to be asked when it has begun. */
export function watchRole(client: pg.Client): () => ServerRole {
  const reported = new Map<string, string>();
  client.connection.on('parameterStatus', (message: { parameterName: string; parameterValue: string }) => {
    reported.set(message.parameterName, message.parameterValue);
  });
  const isOn = (name: string): boolean => reported.get(name) === 'on';
  return () => ({ inRecovery: isOn('in_hot_standby'), readOnly: isOn('default_transaction_read_only') });
}
