SOURCE=None
class OpenDriveSource: pass
