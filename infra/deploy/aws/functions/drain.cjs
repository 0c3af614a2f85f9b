// A spot instance has its notice: it gets no more work, and what runs on it is asked to stop now. A worker then hands back what it
// can't end, and others go on with it.
/** @param event EventBridge's "EC2 Spot Instance Interruption Warning" */
exports.drain = async (event, send, cluster) => {
  const instance = event.detail['instance-id'];
  const {
    containerInstanceArns: [containerInstance],
  } = await send('ListContainerInstances', {
    cluster,
    filter: `ec2InstanceId == ${instance}`,
  });
  if (!containerInstance) return { instance, stopped: 0 }; // another cluster's
  const here = { cluster, containerInstance };
  await send('UpdateContainerInstancesState', {
    cluster,
    containerInstances: [containerInstance],
    status: 'DRAINING',
  });
  const { taskArns } = await send('ListTasks', here);
  await Promise.all(taskArns.map((task) => send('StopTask', { cluster, task, reason: 'spot notice' })));
  return { instance, stopped: taskArns.length };
};

exports.handler = async (event) => {
  const ecs = require('@aws-sdk/client-ecs');
  const client = new ecs.ECSClient();
  const send = (name, input) => client.send(new ecs[`${name}Command`](input));
  const done = await exports.drain(event, send, process.env.CLUSTER);
  process.stdout.write(`${JSON.stringify(done)}\n`);
  return done;
};
